import Petiole

/// The inputs of a run, in chunks as they come: rows of sources, combined, gathered and shuffled.
struct InputReader {
    struct Source {
        /// Whether its rows go with those of the source before.
        let isLinked: Bool
        let content: InputSource.Content
    }

    private var combinations: Combinations
    private var gathering: Gathering
    private let isGathered: Bool
    private let isShuffled: Bool
    private var number = 0
    private var isAtEnd = false
    /// The names of columns, when the sources have headers.
    let names: [[UInt8]]?
    /// What places there are in the command.
    let rules: PlaceRules

    /// Inputs that are shuffled among each other: so many are held.
    static let shuffleSize = 100_000
    /// Where a row has as many columns as it has.
    static let openPositions = 1_000_000

    /// Waits for headers.
    /// - Parameters:
    ///   - paths: the fields that the command names, of JSON.
    ///   - mostValues: the most values that a command can take.
    init(
        _ sources: [Source], _ shape: InputShape, paths: [[UInt8]], mostValues: Int,
        isShuffled: Bool
    ) throws {
        var groups: [[InputSource]] = []
        for source in sources {
            let opened = try InputSource(source.content, shape, paths: paths)
            if source.isLinked, !groups.isEmpty {
                groups[groups.count - 1].append(opened)
            } else {
                groups.append([opened])
            }
        }
        names = shape.hasHeader ? groups.joined().flatMap { $0.names ?? [] } : nil
        combinations = Combinations(groups.map { LinkedSources($0) })
        gathering = Gathering(shape.gathering, mostValues: mostValues)
        isGathered = shape.gathering != .none
        self.isShuffled = isShuffled
        rules = Self.rules(shape, sources: sources.count, names: names, paths: paths)
    }

    /// What places a command has.
    /// - Parameters:
    ///   - names: of columns; nil: they are not read.
    ///   - paths: the fields that the command names, of JSON; nil: it is not yet known which.
    static func rules(
        _ shape: InputShape, sources: Int, names: [[UInt8]]?, paths: [[UInt8]]?
    ) -> PlaceRules {
        var rules = PlaceRules()
        switch shape.columns {
        case .json: rules.names = paths.map { .paths($0) } ?? .anyPath
        case .none: rules.positions = sources
        case .csv, .separated: rules.positions = names.map { max(2, $0.count) } ?? openPositions
        }
        if shape.hasHeader { rules.names = names.map { .listed($0) } ?? .unread }
        if shape.gathering != .none { rules.positions = openPositions }
        rules.isSpread = rules.positions > 1
        return rules
    }

    /// How many inputs there are, when it is known beforehand.
    var total: Int? { isGathered ? nil : combinations.count }

    /// Whether ``next()`` may have to wait for somebody who writes.
    var mayWait: Bool { !isAtEnd && combinations.mayWait }

    /// Waits for some inputs; nil at the end.
    /// - Throws: `CancellationError` when reading was stopped. What was gathered until then is no input: the next start would
    ///   gather others.
    mutating func next() throws -> [Input]? {
        guard isShuffled else { return try numbered() }
        var inputs: [Input] = []
        while inputs.count < Self.shuffleSize, let some = try numbered() { inputs += some }
        return inputs.isEmpty ? nil : inputs.shuffled()
    }

    private mutating func numbered() throws -> [Input]? {
        var inputs: [Input] = []
        while inputs.isEmpty {
            if isAtEnd { return nil }
            if let some = try combinations.next() {
                if isGathered {
                    for input in some { gathering.take(input, &inputs) }
                } else {
                    inputs = some
                }
            } else {
                isAtEnd = true
                gathering.finish(&inputs)
                if combinations.isUneven {
                    say("linked inputs are not equally many; what is left over is not run")
                }
            }
        }
        for index in inputs.indices {
            number += 1
            inputs[index].number = number
        }
        return inputs
    }
}
