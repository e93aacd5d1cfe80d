import Histogram

/// The spread of a latency, from its samples in nanoseconds.
struct Latencies {
    private let histogram: Histogram<UInt64>

    /// Three digits of a value survive: 1.234 ms is told from 1.235 ms.
    init(nanoseconds: [UInt64]) {
        var filled = Histogram<UInt64>(numberOfSignificantValueDigits: .three)
        for sample in nanoseconds { filled.record(sample) }
        histogram = filled
    }

    /// The value that `percent` of the samples do not exceed, in microseconds.
    func percentile(_ percent: Double) -> Figure {
        Figure(Double(histogram.valueAtPercentile(percent)) / 1000, .microseconds)
    }

    var mean: Figure { Figure(histogram.mean / 1000, .microseconds) }
}

extension [Latencies] {
    /// The least of the rounds at a percentile.
    func least(_ percent: Double) -> Figure {
        map { $0.percentile(percent) }.min { $0.value < $1.value }!
    }
}
