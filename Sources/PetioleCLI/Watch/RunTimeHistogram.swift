import Petiole

/// How often which run time came, in a fixed size: 16 classes for each doubling, so that what is told is 3 % off at most.
struct RunTimeHistogram: Sendable {
    /// Microseconds below this are classes of their own.
    private static let linear = 16
    /// 2^40 µs are 12 days; what took longer stands with that.
    private static let classCount = linear + 36 * 16

    private var classes = [Int](repeating: 0, count: classCount)
    private(set) var count = 0
    private(set) var totalMicroseconds = 0
    private(set) var longest = Duration.zero
    private(set) var shortest: Duration?

    mutating func add(_ runTime: Duration) {
        let microseconds = max(0, runTime.wholeMicroseconds)
        classes[Self.index(microseconds)] += 1
        count += 1
        totalMicroseconds = totalMicroseconds.addingReportingOverflow(microseconds).partialValue
        longest = max(longest, runTime)
        shortest = min(shortest ?? runTime, runTime)
    }

    var average: Duration? { count == 0 ? nil : .microseconds(totalMicroseconds / count) }

    /// The run time that so many of a hundred did not exceed; nil: there is none.
    func percentile(_ percent: Double) -> Duration? {
        guard count > 0, let shortest else { return nil }
        let wanted = min(count, max(1, Int((Double(count) * percent / 100).rounded(.up))))
        var seen = 0
        for (index, number) in classes.enumerated() {
            seen += number
            if seen >= wanted {
                let (low, high) = Self.bounds(index)
                return max(shortest, min(longest, .microseconds((low + high) / 2)))
            }
        }
        return longest
    }

    /// How many took so long or longer, and less than the other.
    func count(from low: Int, below high: Int) -> Int {
        classes.enumerated().reduce(0) { sum, entry in
            let start = Self.bounds(entry.offset).low
            return start >= low && start < high ? sum + entry.element : sum
        }
    }

    /// 0…15 are microseconds; then the place of the highest bit and the four bits below it.
    private static func index(_ microseconds: Int) -> Int {
        if microseconds < linear { return microseconds }
        let exponent = Int.bitWidth - 1 - microseconds.leadingZeroBitCount
        let fraction = microseconds >> (exponent - 4) & 15
        return min(linear + (exponent - 4) * 16 + fraction, classCount - 1)
    }

    /// Microseconds: the least of a class, and the least that is beyond it.
    private static func bounds(_ index: Int) -> (low: Int, high: Int) {
        if index < linear { return (index, index + 1) }
        let shift = (index - linear) / 16
        let low = (16 + (index - linear) % 16) << shift
        return (low, low + (1 << shift))
    }
}
