package rapport.bench;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.TreeMap;

/** The fold that every row of the throughput bench does: bench/peers/fold.py in Java. */
final class Fold {
    static final long DAY = 86_400_000L;
    static final long WINDOW = 7 * DAY;
    static final int NOW_DAYS = 30;
    static final int DAYS = 120;
    static final int NO_SCORE = -1;

    private Fold() {}

    /** What the fold needs of an interaction. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    static final class Event {
        public String id;
        public String source;
        public String type;
        public long time;
        public Data data = new Data();

        boolean isUsage() {
            return type.startsWith("usage.");
        }

        /** `use:FEATURE` or `in:CHANNEL`. */
        String metric() {
            int dot = type.indexOf('.');
            if (isUsage()) {
                return "use:" + (data.feature.isEmpty() ? type.substring(dot + 1) : data.feature);
            }
            return "in:" + (data.channel.isEmpty() ? type.substring(0, dot) : data.channel);
        }

        double amount() {
            return isUsage() ? data.quantity : 1.0;
        }
    }

    /** What the fold needs of an event's data. */
    @JsonIgnoreProperties(ignoreUnknown = true)
    static final class Data {
        public String person = "";
        public String feature = "";
        public String channel = "";
        public double quantity = 1.0;
    }

    /** Uses and touches of one relationship by day. */
    static final class Sums {
        final Map<Integer, double[]> days = new TreeMap<>();

        void add(int day, boolean use, double amount) {
            days.computeIfAbsent(day, none -> new double[2])[use ? 0 : 1] += amount;
        }

        /** Engagement as of `today` in ten-thousandths, NO_SCORE without evidence. */
        int score(int today) {
            double[] now = new double[2];
            double[] before = new double[2];
            days.forEach((day, sums) -> {
                int age = today - day;
                if (age >= 0 && age < DAYS) {
                    double[] window = age < NOW_DAYS ? now : before;
                    window[0] += sums[0];
                    window[1] += sums[1];
                }
            });
            double total = 0;
            int parts = 0;
            for (int which = 0; which < 2; which++) {
                double usual = before[which] / 3;
                if (usual + now[which] > 0) {
                    total += Math.min(1.0, (now[which] + 0.5) / (usual + 0.5));
                    parts++;
                }
            }
            if (parts == 0) {
                return NO_SCORE;
            }
            return new BigDecimal(total / parts).setScale(4, RoundingMode.HALF_EVEN).unscaledValue().intValue();
        }

        byte[] bytes() {
            ByteBuffer buffer = ByteBuffer.allocate(days.size() * 20);
            days.forEach((day, sums) -> buffer.putInt(day).putDouble(sums[0]).putDouble(sums[1]));
            return buffer.array();
        }

        static Sums of(byte[] bytes) {
            Sums sums = new Sums();
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            while (buffer.hasRemaining()) {
                sums.days.put(buffer.getInt(), new double[] {buffer.getDouble(), buffer.getDouble()});
            }
            return sums;
        }
    }
}
