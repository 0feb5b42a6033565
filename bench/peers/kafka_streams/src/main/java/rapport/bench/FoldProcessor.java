package rapport.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Folds event by event into in-memory state stores; scores what was touched every FLUSH and at the end of the log. */
final class FoldProcessor implements Processor<String, byte[], Void, Void> {
    static final Duration FLUSH = Duration.ofSeconds(5);
    static final String IDS = "ids";
    static final String COUNTERS = "counters";
    static final String SUMS = "sums";
    static final String SCORES = "scores";
    static final char SEPARATOR = '\t';

    private final ObjectReader reader = new ObjectMapper().readerFor(Fold.Event.class);
    private final Map<String, Integer> touched = new HashMap<>(); // relationship -> day of its last receipt
    private final Progress progress;
    private ProcessorContext<Void, Void> context;
    private KeyValueStore<String, Long> ids;
    private KeyValueStore<String, Double> counters;
    private KeyValueStore<String, Fold.Sums> sums;
    private KeyValueStore<String, Integer> scores;

    FoldProcessor(Progress progress) {
        this.progress = progress;
    }

    @Override
    public void init(ProcessorContext<Void, Void> context) {
        this.context = context;
        ids = context.getStateStore(IDS);
        counters = context.getStateStore(COUNTERS);
        sums = context.getStateStore(SUMS);
        scores = context.getStateStore(SCORES);
        context.schedule(FLUSH, PunctuationType.WALL_CLOCK_TIME, now -> score());
    }

    @Override
    public void process(Record<String, byte[]> record) {
        progress.begin();
        fold(record.key(), parsed(record.value()), record.timestamp());
        int partition = context.recordMetadata().orElseThrow().partition();
        if (progress.reached(partition, context.recordMetadata().orElseThrow().offset())) {
            score();
            context.commit();
            progress.done(partition);
        }
    }

    private Fold.Event parsed(byte[] value) {
        try {
            return reader.readValue(value);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void fold(String relationship, Fold.Event event, long received) {
        String id = relationship + SEPARATOR + event.source + "#" + event.id;
        Long seen = ids.get(id);
        if (seen != null && received - seen <= Fold.WINDOW) {
            return;
        }
        ids.put(id, received);
        int day = (int) (event.time / Fold.DAY);
        String cell = relationship + SEPARATOR + event.metric() + SEPARATOR + event.data.person + SEPARATOR + day;
        Double count = counters.get(cell);
        counters.put(cell, (count == null ? 0.0 : count) + event.amount());
        Fold.Sums mine = sums.get(relationship);
        if (mine == null) {
            mine = new Fold.Sums();
        }
        mine.add(day, event.isUsage(), event.amount());
        sums.put(relationship, mine);
        touched.put(relationship, (int) (received / Fold.DAY));
    }

    private void score() {
        touched.forEach((relationship, today) -> scores.put(relationship, sums.get(relationship).score(today)));
        touched.clear();
    }
}
