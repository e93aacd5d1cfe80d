/// The payload of a command job: version, arguments, working directory, environment, standard
/// input.
extension Command {
    /// What a payload in this form is marked with in the store.
    package static let codecID: UInt8 = 3
    private static let version: UInt8 = 1
    /// A byte more at the end, the niceness. Written only where there is one, so that what knows none reads all others.
    private static let versionWithNiceness: UInt8 = 2

    package func encode(into bytes: inout [UInt8]) {
        var writer = CompactWriter(behind: &bytes)
        writer.write(niceness == 0 ? Self.version : Self.versionWithNiceness)
        writer.write(number: UInt64(arguments.count))
        for argument in arguments { writer.write(string: argument) }
        if let workingDirectory {
            writer.write(1)
            writer.write(string: workingDirectory)
        } else {
            writer.write(0)
        }
        switch environment {
        case .inherited:
            writer.write(0)
        case .inheritedWith(let variables):
            writer.write(1)
            Self.write(variables, into: &writer)
        case .exactly(let variables):
            writer.write(2)
            Self.write(variables, into: &writer)
        }
        switch standardInput {
        case .null:
            writer.write(0)
        case .bytes(let input):
            writer.write(1)
            writer.write(string: input)
        case .file(let path):
            writer.write(2)
            writer.write(string: path)
        case .range(let range):
            writer.write(3)
            range.write(into: &writer)
        case .stored(let name):
            writer.write(4)
            writer.write(string: name)
        }
        if niceness > 0 { writer.write(niceness) }
        writer.giveBack(&bytes)
    }

    package static func decode(_ bytes: [UInt8]) throws(CompactFault) -> Command {
        var reader = CompactReader(bytes)
        let version = try reader.byte()
        guard version == Self.version || version == Self.versionWithNiceness else {
            throw .unknownVersion(version)
        }
        var arguments: [[UInt8]] = []
        for _ in 0..<(try reader.count(atMost: countBound)) {
            arguments.append(try reader.string())
        }
        let workingDirectory: [UInt8]? =
            switch try reader.byte() {
            case 0: nil
            case 1: try reader.string()
            default: throw CompactFault.malformed
            }
        let environment: Environment =
            switch try reader.byte() {
            case 0: .inherited
            case 1: .inheritedWith(try variables(from: &reader))
            case 2: .exactly(try variables(from: &reader))
            default: throw CompactFault.malformed
            }
        let standardInput: Input =
            switch try reader.byte() {
            case 0: .null
            case 1: .bytes(try reader.string())
            case 2: .file(path: try reader.string())
            case 3: .range(try FileRange(from: &reader))
            case 4: .stored(name: try reader.string())
            default: throw CompactFault.malformed
            }
        let niceness = version == Self.versionWithNiceness ? try reader.byte() : 0
        guard niceness <= mostNiceness, (niceness > 0) == (version == Self.versionWithNiceness)
        else { throw .malformed }
        try reader.finish()
        do {
            return try Command(
                arguments: arguments, workingDirectory: workingDirectory,
                environment: environment, standardInput: standardInput
            ).nicer(by: niceness)
        } catch {
            throw .invalid(error)
        }
    }

    private static func write(_ variables: [Variable], into writer: inout CompactWriter) {
        writer.write(number: UInt64(variables.count))
        for variable in variables {
            writer.write(string: variable.name)
            writer.write(string: variable.value)
        }
    }

    private static func variables(
        from reader: inout CompactReader
    ) throws(CompactFault) -> [Variable] {
        var variables: [Variable] = []
        for _ in 0..<(try reader.count(atMost: countBound)) {
            let name = try reader.string()
            variables.append(Variable(name: name, value: try reader.string()))
        }
        return variables
    }
}
