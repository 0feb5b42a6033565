package rapport.bench;

import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;

/** The final states in the form that all rows are compared in; see write_states of bench/peers/fold.py. */
final class States {
    private record Cell(String metric, String person, int day, long count) {}

    private static final Comparator<Cell> ORDER =
            Comparator.comparing(Cell::metric).thenComparing(Cell::person).thenComparingInt(Cell::day);

    private States() {}

    /** Their SHA-256. */
    static String write(KafkaStreams streams, Path path) throws IOException, NoSuchAlgorithmException {
        Map<String, Integer> scores = new TreeMap<>();
        try (KeyValueIterator<String, Integer> found = States.<Integer>store(streams, FoldProcessor.SCORES).all()) {
            found.forEachRemaining(score -> scores.put(score.key, score.value));
        }
        Map<String, List<Cell>> cells = cells(streams);
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        try (BufferedWriter out = Files.newBufferedWriter(path)) {
            for (Map.Entry<String, Integer> score : scores.entrySet()) {
                String line = line(score.getKey(), score.getValue(), cells.get(score.getKey()));
                digest.update(line.getBytes(StandardCharsets.UTF_8));
                out.write(line);
            }
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    private static <V> ReadOnlyKeyValueStore<String, V> store(KafkaStreams streams, String name) {
        return streams.store(StoreQueryParameters.fromNameAndType(name, QueryableStoreTypes.keyValueStore()));
    }

    private static Map<String, List<Cell>> cells(KafkaStreams streams) {
        Map<String, List<Cell>> cells = new HashMap<>();
        try (KeyValueIterator<String, Double> found = States.<Double>store(streams, FoldProcessor.COUNTERS).all()) {
            found.forEachRemaining(counter -> {
                String[] parts = counter.key.split(String.valueOf(FoldProcessor.SEPARATOR));
                if (counter.value != 0) {
                    cells.computeIfAbsent(parts[0], none -> new ArrayList<>())
                            .add(new Cell(parts[1], parts[2], Integer.parseInt(parts[3]), counter.value.longValue()));
                }
            });
        }
        cells.values().forEach(mine -> mine.sort(ORDER));
        return cells;
    }

    private static String line(String key, int score, List<Cell> cells) {
        StringBuilder line = new StringBuilder("[\"").append(key).append("\",");
        line.append(score == Fold.NO_SCORE ? "null" : String.valueOf(score)).append(",[");
        for (Cell cell : cells == null ? List.<Cell>of() : cells) {
            line.append("[\"").append(cell.metric).append("\",\"").append(cell.person).append("\",");
            line.append(cell.day).append(',').append(cell.count).append("],");
        }
        if (line.charAt(line.length() - 1) == ',') {
            line.setLength(line.length() - 1);
        }
        return line.append("]]\n").toString();
    }
}
