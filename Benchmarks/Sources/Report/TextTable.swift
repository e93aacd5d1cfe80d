import Foundation

/// Lays out the report as one Markdown table, its columns aligned.
enum TextTable {
    static let header = ["what", "figure", "yardstick", "ratio", "target", "met"]

    static func render(_ rows: [Row]) -> String {
        let cells = [header] + rows.map(cells)
        let widths = header.indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
        func line(_ row: [String]) -> String {
            let padded = zip(row, widths).map { cell, width in
                cell + String(repeating: " ", count: width - cell.count)
            }
            return "| " + padded.joined(separator: " | ") + " |"
        }
        let rule = "|" + widths.map { String(repeating: "-", count: $0 + 2) }.joined(separator: "|")
        return ([line(cells[0]), rule + "|"] + cells.dropFirst().map(line)).joined(separator: "\n")
    }

    private static func cells(_ row: Row) -> [String] {
        [
            row.name,
            row.figure.description,
            row.yardstick.map { "\($0.name): \($0.figure)" } ?? "",
            row.ratio.map { rounded($0, digits: 2) } ?? "",
            row.target.map { $0.description(unit: row.figure.unit) } ?? "",
            row.isMet.map { $0 ? "yes" : "NO" } ?? "",
        ]
    }

    static func rounded(_ value: Double, digits: Int) -> String {
        value.formatted(.number.precision(.fractionLength(digits)).grouping(.automatic))
    }
}

extension Figure: CustomStringConvertible {
    var description: String {
        switch unit {
        case .perSecond where value >= 1e6: TextTable.rounded(value / 1e6, digits: 2) + " M/s"
        case .perSecond: TextTable.rounded(value, digits: 0) + " /s"
        case .count: TextTable.rounded(value, digits: 1)
        default: TextTable.rounded(value, digits: value < 10 ? 2 : 1) + " " + unit.symbol
        }
    }
}

extension Figure.Unit {
    fileprivate var symbol: String {
        switch self {
        case .perSecond: "/s"
        case .nanoseconds: "ns"
        case .microseconds: "µs"
        case .milliseconds: "ms"
        case .seconds: "s"
        case .mebibytes: "MiB"
        case .count: ""
        }
    }
}

extension Target {
    fileprivate func description(unit: Figure.Unit) -> String {
        switch self {
        case .atLeast(let bound): "≥ \(bound)"
        case .atMost(let bound): "≤ \(bound)"
        case .timesYardstickAtLeast(let factor): "≥ \(TextTable.rounded(factor, digits: 2)) ×"
        case .timesYardstickAtMost(let factor): "≤ \(TextTable.rounded(factor, digits: 2)) ×"
        case .yardstickPlus(let extra): "≤ yardstick + \(Figure(extra, unit))"
        }
    }
}
