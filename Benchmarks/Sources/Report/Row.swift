/// One line of the report: what was measured, beside what it is measured by.
struct Row {
    var name: String
    var figure: Figure
    /// Measured in the same run, on the same disk.
    var yardstick: Yardstick?
    /// Nil for a figure that is there for comparison alone.
    var target: Target?

    /// Nil where there is nothing to meet.
    var isMet: Bool? { target.map { $0.isMet(by: figure, beside: yardstick?.figure) } }

    /// How many times the yardstick; nil without one, or when the two differ in unit.
    var ratio: Double? {
        guard let yardstick, yardstick.figure.unit == figure.unit, yardstick.figure.value > 0 else {
            return nil
        }
        return figure.value / yardstick.figure.value
    }
}

/// A number that knows its unit.
struct Figure {
    enum Unit: Hashable {
        case perSecond, nanoseconds, microseconds, milliseconds, seconds, mebibytes, count
    }

    var value: Double
    var unit: Unit

    init(_ value: Double, _ unit: Unit) {
        self.value = value
        self.unit = unit
    }
}

struct Yardstick {
    var name: String
    var figure: Figure

    init(_ name: String, _ figure: Figure) {
        self.name = name
        self.figure = figure
    }
}

/// What a figure has to come to.
enum Target {
    case atLeast(Figure)
    case atMost(Figure)
    case timesYardstickAtLeast(Double)
    case timesYardstickAtMost(Double)
    /// At most the yardstick and this much more, in the yardstick's unit.
    case yardstickPlus(Double)

    /// A target that needs a yardstick is not met without one.
    func isMet(by figure: Figure, beside yardstick: Figure?) -> Bool {
        switch self {
        case .atLeast(let bound): figure.value >= bound.value
        case .atMost(let bound): figure.value <= bound.value
        case .timesYardstickAtLeast(let factor):
            yardstick.map { figure.value >= factor * $0.value } ?? false
        case .timesYardstickAtMost(let factor):
            yardstick.map { figure.value <= factor * $0.value } ?? false
        case .yardstickPlus(let extra):
            yardstick.map { figure.value <= $0.value + extra } ?? false
        }
    }
}
