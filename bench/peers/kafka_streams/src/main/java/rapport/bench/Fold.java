package rapport.bench;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.nio.ByteBuffer;
import java.util.Arrays;

/** The fold that every row of the throughput bench does: bench/peers/fold.py in Java. */
final class Fold {
    static final long DAY = 86_400_000L;
    static final long WINDOW = 7 * DAY;
    static final int NOW_DAYS = 30;
    static final int DAYS = 120;
    static final int NO_SCORE = -1;
    private static final int DAY_BYTES = Integer.BYTES + 2 * Double.BYTES;

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

    /** Uses and touches of one relationship by day, in plain arrays: they are read and written with every event. */
    static final class Sums {
        private int[] days = new int[0];
        private double[] counts = new double[0]; // uses and touches of each day, one after the other

        void add(int day, boolean use, double amount) {
            int at = days.length - 1;
            while (at >= 0 && days[at] != day) {
                at--;
            }
            if (at < 0) {
                at = days.length;
                days = Arrays.copyOf(days, at + 1);
                counts = Arrays.copyOf(counts, 2 * at + 2);
                days[at] = day;
            }
            counts[2 * at + (use ? 0 : 1)] += amount;
        }

        /** Engagement as of `today` in ten-thousandths, NO_SCORE without evidence. */
        int score(int today) {
            double[] now = new double[2];
            double[] before = new double[2];
            for (int at = 0; at < days.length; at++) {
                int age = today - days[at];
                if (age >= 0 && age < DAYS) {
                    double[] window = age < NOW_DAYS ? now : before;
                    window[0] += counts[2 * at];
                    window[1] += counts[2 * at + 1];
                }
            }
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
            ByteBuffer buffer = ByteBuffer.allocate(days.length * DAY_BYTES);
            buffer.asIntBuffer().put(days);
            buffer.position(days.length * Integer.BYTES).slice().asDoubleBuffer().put(counts);
            return buffer.array();
        }

        static Sums of(byte[] bytes) {
            Sums sums = new Sums();
            int size = bytes.length / DAY_BYTES;
            sums.days = new int[size];
            sums.counts = new double[2 * size];
            ByteBuffer buffer = ByteBuffer.wrap(bytes);
            buffer.asIntBuffer().get(sums.days);
            buffer.position(size * Integer.BYTES).slice().asDoubleBuffer().get(sums.counts);
            return sums;
        }
    }
}
