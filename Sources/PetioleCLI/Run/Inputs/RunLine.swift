import Petiole

/// The line of a run, found again from a job of it: what a job keeps is the line as a shell gets it.
///
/// Several lines come to the same: `{}` and `"{}"` do, and a line without `{}` and the same with one at its end. The run's
/// queue, whose name is made of the line, tells which it was.
struct RunLine {
    /// The jobs of a run stand one after another, mostly.
    private var last: (line: [UInt8], queue: String, template: [UInt8])?

    /// The line that was given to `run`, for a command that it made and that is run by a shell; nil for any other.
    mutating func template(of command: Command, queue: String) -> [UInt8]? {
        guard case .inheritedWith = command.environment, command.arguments.count == 3,
            command.arguments[0] == Array("/bin/sh".utf8), let line = command.arguments.last
        else { return nil }
        if let last, last.line == line, last.queue == queue { return last.template }
        let template = Self.find(line, command.workingDirectory ?? [], queue)
        last = (line, queue, template)
        return template
    }

    private static func find(_ line: [UInt8], _ directory: [UInt8], _ queue: String) -> [UInt8] {
        var fitting: [UInt8]?
        let rules = ShellTemplate.rules(for: line)
        for candidate in ShellTemplate.candidates(for: line) {
            // One that cannot be a line is none that was.
            guard
                let template = try? CommandTemplate(
                    words: [candidate], directory: directory, rules: rules, joins: true),
                template.shell?.line() == line
            else { continue }
            if RunIdentity(template, directory: directory).owns(queue) { return candidate }
            fitting = fitting ?? candidate
        }
        return fitting ?? line
    }
}

extension ShellTemplate {
    /// What stands before and behind a reference, and was written with it; the likeliest first.
    private static let quotes: [(before: String, behind: String)] = [
        ("'\"", "\"'"), ("\"", "\""), ("", ""),
    ]
    /// From so many choices on, one form is tried for a further reference: a list of jobs is not to wait.
    private static let choiceLimit = 32

    /// Templates of which a line may have been made: each reference in it is taken for each form that it may have, and all
    /// are taken for the same.
    static func candidates(for line: [UInt8]) -> [[UInt8]] {
        let (pieces, places) = split(line)
        guard !places.isEmpty else { return [line] }
        var candidates: [[UInt8]] = []
        if places == [.whole], pieces[1].elementsEqual("\"".utf8),
            pieces[0].suffix(2).elementsEqual(" \"".utf8)
        {
            // It may have been put there because the line had no place for it.
            candidates.append(Array(pieces[0].dropLast(2)))
        }
        var choices: [[Int]] = [[]]
        for index in places.indices {
            let fitting = quotes.indices.filter { form in
                ends(pieces[index], with: quotes[form].before)
                    && pieces[index + 1].starts(with: quotes[form].behind.utf8)
            }
            let some = choices.count > choiceLimit ? fitting.prefix(1) : fitting[...]
            choices = choices.flatMap { choice in some.map { choice + [$0] } }
        }
        choices += quotes.indices.map { Array(repeating: $0, count: places.count) }
        for choice in choices {
            if let template = join(pieces, places, choice) { candidates.append(template) }
        }
        return candidates
    }

    /// Rules by which what a line refers to can have been written in it.
    static func rules(for line: [UInt8]) -> PlaceRules {
        var rules = PlaceRules()
        var names: [[UInt8]] = []
        for case .value(let key, _) in split(line).1 {
            switch key {
            case .all: break
            case .position: rules.positions = .max
            case .name(let name): names.append(name)
            }
        }
        if !names.isEmpty { rules.names = .listed(names) }
        return rules
    }

    private static let opening = Array("${PETIOLE_".utf8)

    /// The references of a line, and what is before, between and behind them.
    private static func split(_ line: [UInt8]) -> ([ArraySlice<UInt8>], [Place]) {
        var pieces: [ArraySlice<UInt8>] = []
        var places: [Place] = []
        var start = 0
        var index = 0
        while index < line.count {
            guard line[index] == UInt8(ascii: "$"), line[index...].starts(with: opening),
                let end = line[index...].firstIndex(of: UInt8(ascii: "}")),
                let place = Place(
                    variable: String(decoding: line[(index + 2)..<end], as: UTF8.self))
            else {
                index += 1
                continue
            }
            pieces.append(line[start..<index])
            places.append(place)
            index = end + 1
            start = index
        }
        return (pieces + [line[start...]], places)
    }

    private static func join(
        _ pieces: [ArraySlice<UInt8>], _ places: [Place], _ choice: [Int]
    ) -> [UInt8]? {
        var rest = pieces
        for (index, form) in choice.enumerated() {
            let (before, behind) = quotes[form]
            guard ends(rest[index], with: before),
                rest[index + 1].starts(with: behind.utf8)
            else { return nil }
            rest[index] = rest[index].dropLast(before.utf8.count)
            rest[index + 1] = rest[index + 1].dropFirst(behind.utf8.count)
        }
        return zip(rest, places.map { $0.text } + [[]]).flatMap { $0 + $1 }
    }

    private static func ends(_ piece: ArraySlice<UInt8>, with text: String) -> Bool {
        piece.suffix(text.utf8.count).elementsEqual(text.utf8)
    }
}
