package rapport.bench;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;

/** Wall time and CPU of this process from the first record taken until the last state is written and committed. */
final class Progress {
    private final Map<Integer, Long> ends;
    private final Set<Integer> open;
    private final CountDownLatch finished = new CountDownLatch(1);
    private final OperatingSystemMXBean system = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private long wallFrom;
    private long cpuFrom;
    private boolean begun;

    Progress(Map<Integer, Long> ends) {
        this.ends = ends;
        this.open = ConcurrentHashMap.newKeySet();
        ends.forEach((partition, end) -> {
            if (end > 0) {
                open.add(partition);
            }
        });
    }

    /** Called by the stream thread with each record; the first one counts. */
    void begin() {
        if (!begun) {
            begun = true;
            wallFrom = System.nanoTime();
            cpuFrom = system.getProcessCpuTime();
        }
    }

    boolean reached(int partition, long offset) {
        return offset + 1 >= ends.get(partition);
    }

    void done(int partition) {
        open.remove(partition);
        if (open.isEmpty()) {
            finished.countDown();
        }
    }

    void await() throws InterruptedException {
        finished.await();
    }

    /** The figures up to now as JSON members. */
    String figures() throws IOException {
        double wall = (System.nanoTime() - wallFrom) / 1e9;
        long cpuTo = system.getProcessCpuTime();
        return String.format(
                "\"wall_s\": %.6f, \"cpu_s\": %.6f, \"cpu_with_start_s\": %.6f, \"peak_rss_mib\": %.1f",
                wall, (cpuTo - cpuFrom) / 1e9, cpuTo / 1e9, peakKib() / 1024.0);
    }

    private static long peakKib() throws IOException {
        return Files.readAllLines(Path.of("/proc/self/status")).stream()
                .filter(line -> line.startsWith("VmHWM:"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
                .findFirst()
                .orElseThrow();
    }
}
