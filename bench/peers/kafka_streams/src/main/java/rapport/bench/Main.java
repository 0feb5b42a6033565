package rapport.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** Row `kafka_streams`: LOG OUT STATES. One stream thread, in-memory stores without changelog topics. */
public final class Main {
    private static final Serde<Fold.Sums> SUMS = Serdes.serdeFrom(
            (topic, sums) -> sums == null ? null : sums.bytes(),
            (topic, bytes) -> bytes == null ? null : Fold.Sums.of(bytes));

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        JsonNode log = new ObjectMapper().readTree(Path.of(arguments[0]).toFile());
        String topic = log.get("topic").asText();
        Map<Integer, Long> ends = new HashMap<>();
        log.get("ends").properties().forEach(
                end -> ends.put(Integer.parseInt(end.getKey()), end.getValue().asLong()));
        Progress progress = new Progress(ends);
        Path directory = Path.of(arguments[1]).resolveSibling("streams");
        Properties settings = settings(log.get("bootstrap").asText(), directory);
        Map<String, Object> broker = Map.of(
                StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, settings.get(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG));
        try (Admin admin = Admin.create(broker);
                KafkaStreams streams = new KafkaStreams(topology(topic, progress), settings)) {
            streams.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
                return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
            });
            streams.start();
            progress.await();
            untilCommitted(admin, settings, topic, ends);
            String figures = progress.figures();
            String digest = States.write(streams, Path.of(arguments[2]));
            Files.writeString(Path.of(arguments[1]), String.format(
                    "{\"events\": %d, %s, \"state\": \"%s\"}", log.get("events").asLong(), figures, digest));
        }
    }

    private static Properties settings(String bootstrap, Path directory) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "kafka-streams-" + ProcessHandle.current().pid());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, FoldProcessor.FLUSH.toMillis());
        settings.put(StreamsConfig.STATE_DIR_CONFIG, directory.toString());
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        return settings;
    }

    private static Topology topology(String topic, Progress progress) {
        Serde<String> text = Serdes.String();
        return new Topology()
                .addSource("events", text.deserializer(), Serdes.ByteArray().deserializer(), topic)
                .addProcessor("fold", () -> new FoldProcessor(progress), "events")
                .addStateStore(store(FoldProcessor.IDS, Serdes.Long()), "fold")
                .addStateStore(store(FoldProcessor.COUNTERS, Serdes.Double()), "fold")
                .addStateStore(store(FoldProcessor.SUMS, SUMS), "fold")
                .addStateStore(store(FoldProcessor.SCORES, Serdes.Integer()), "fold");
    }

    private static <V> StoreBuilder<KeyValueStore<String, V>> store(String name, Serde<V> values) {
        return Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(name), Serdes.String(), values)
                .withLoggingDisabled();
    }

    private static void untilCommitted(
            Admin admin, Properties settings, String topic, Map<Integer, Long> ends) throws Exception {
        String group = settings.getProperty(StreamsConfig.APPLICATION_ID_CONFIG);
        while (true) {
            Map<TopicPartition, OffsetAndMetadata> found =
                    admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
            if (ends.entrySet().stream().allMatch(end -> committed(found, topic, end))) {
                return;
            }
            Thread.sleep(10);
        }
    }

    private static boolean committed(
            Map<TopicPartition, OffsetAndMetadata> found, String topic, Map.Entry<Integer, Long> end) {
        OffsetAndMetadata offset = found.get(new TopicPartition(topic, end.getKey()));
        return end.getValue() == 0 || (offset != null && offset.offset() >= end.getValue());
    }
}
