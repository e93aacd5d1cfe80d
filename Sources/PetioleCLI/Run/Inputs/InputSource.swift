import Petiole

/// One of the lists, files or folders that inputs come from, as rows of values.
struct InputSource {
    enum Content {
        case list(ArraySlice<[UInt8]>)
        case records(InputRecords)
        case rows(CSVRows)
        case tree(FileTree)
    }
    private var content: Content
    private let shape: InputShape
    /// The names of its columns, when it has any.
    let names: [[UInt8]]?
    /// The fields that are looked for in JSON.
    private let paths: [[UInt8]]
    /// Rows that were read with the header.
    private var waiting: [Input] = []
    private var row = 0
    private static let chunkSize = 4_096

    /// Waits for the header, if there is to be one.
    init(_ content: Content, _ shape: InputShape, paths: [[UInt8]]) throws {
        self.content = content
        self.shape = shape
        self.paths = paths
        guard shape.hasHeader else {
            names = nil
            return
        }
        var source = try InputSource(content, InputShape(columns: shape.columns), paths: [])
        guard let rows = try source.next(), let first = rows.first else {
            names = []
            self.content = source.content
            return
        }
        names = first.values
        self.content = source.content
        row = source.row - rows.count + 1
        waiting = try rows.dropFirst().map { try checked($0) }
    }

    /// How many rows are left, when it is known.
    var count: Int? {
        if case .list(let rest) = content { rest.count + waiting.count } else { nil }
    }

    /// Whether ``next()`` may have to wait for somebody who writes.
    var mayWait: Bool {
        switch content {
        case .list, .tree: false
        case .records(let records): waiting.isEmpty && records.mayWait
        case .rows(let rows): waiting.isEmpty && rows.mayWait
        }
    }

    /// Waits for some rows; nil at the end.
    mutating func next() throws -> [Input]? {
        if !waiting.isEmpty {
            defer { waiting = [] }
            return waiting
        }
        switch content {
        case .list(let rest):
            content = .list(rest.dropFirst(Self.chunkSize))
            return rest.isEmpty
                ? nil : try rest.prefix(Self.chunkSize).map { try checked(split($0)) }
        case .records(var records):
            // Given back at once: a second reference would copy what is gathered.
            content = .list([])
            let some = try records.next()
            content = .records(records)
            return try some?.map { try checked(split($0)) }
        case .tree(var tree):
            content = .list([])
            let some = tree.next()
            content = .tree(tree)
            return try some?.map { try checked($0) }
        case .rows(var rows):
            content = .list([])
            let some = try rows.next()
            content = .rows(rows)
            return try some?.map { try checked(Input(values: $0)) }
        }
    }

    private func split(_ value: [UInt8]) throws -> Input {
        switch shape.columns {
        case .none: return Input(value)
        case .separated(let separator):
            // As of a file from elsewhere: neither the mark of the byte order nor the end of its line is a part of it.
            var row = value[...]
            if self.row == 0, row.starts(with: [0xEF, 0xBB, 0xBF]) { row = row.dropFirst(3) }
            if row.last == UInt8(ascii: "\r") { row = row.dropLast() }
            return Input(values: separator.split(Array(row)))
        case .csv(let separator): return Input(values: try CSVRows.row(value, separator: separator))
        case .json:
            var input = Input(value)
            input.source = value
            do throws(JSONFields.Fault) {
                input.others = try JSONFields.values(of: paths, in: value)
            } catch {
                input.fault = error.text
            }
            return input
        }
    }

    private mutating func checked(_ input: Input) throws -> Input {
        row += 1
        var input = input
        if let fault = input.fault, case .json = shape.columns {
            input.fault = "line \(row) of the inputs \(fault)"
        }
        if let names, input.count != names.count, input.fault == nil {
            input.fault =
                "row \(row) has \(counted(input.count, "column")), and the header names \(names.count)"
        }
        if input.first.contains(0) || input.others.contains(where: { $0.contains(0) }) {
            throw Failure(
                """
                input \(grouped(row)) holds a zero byte, which no argument can hold
                use -0 if zero bytes end the inputs
                """, status: 125)
        }
        return input
    }
}
