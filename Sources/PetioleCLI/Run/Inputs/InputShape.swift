/// What an input of a run is made of, beyond one value that is read.
///
/// Part of what makes two runs the same: the same lines read as one value, as columns or three at a time are other inputs.
struct InputShape: Equatable, Sendable {
    enum Columns: Equatable, Sendable {
        case none
        case separated(ColumnSeparator)
        case csv(separator: UInt8)
        case json
    }
    enum Gathering: Equatable, Sendable {
        case none
        /// So many to a command; the last may get fewer.
        case count(Int)
        /// As many as fit into ``InputMark/limit`` bytes, and so many at most.
        case fitting(atMost: Int)
    }
    var columns = Columns.none
    var hasHeader = false
    var gathering = Gathering.none

    /// By what a run is known; empty for one value that is read.
    /// - Parameter names: of columns: what `{name}` stands for.
    func mark(names: [[UInt8]]?) -> [UInt8] {
        var text = ""
        switch columns {
        case .none: break
        case .separated(.blanks): text += "blanks,"
        case .separated(.text(let separator)): text += "columns \(separator),"
        case .csv(let separator): text += "csv \(separator),"
        case .json: text += "json,"
        }
        for name in names ?? [] { text += "header \(name)," }
        switch gathering {
        case .none: break
        case .count(let count): text += "count \(count),"
        case .fitting(let count): text += "fitting \(count),"
        }
        return Array(text.utf8)
    }
}
