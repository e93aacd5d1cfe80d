import CPetiole

/// A command's arguments and environment as the system takes them: one block of zero-terminated
/// strings, and lists of pointers into it.
struct SpawnArguments {
    private var block: [CChar] = []
    private var argumentOffsets: [Int] = []
    private var variableOffsets: [Int] = []
    private let inheritsAllBut: [[UInt8]]?

    init(_ command: Command, mark: AttemptMark?) {
        let markName = Array(AttemptMark.variableName.utf8)
        var variables: [Command.Variable] = []
        switch command.environment {
        case .inherited:
            inheritsAllBut = [markName]
        case .inheritedWith(let some):
            variables = some.filter { $0.name != markName }
            inheritsAllBut = some.map(\.name) + [markName]
        case .exactly(let some):
            variables = some.filter { $0.name != markName }
            inheritsAllBut = nil
        }
        for argument in command.arguments {
            argumentOffsets.append(block.count)
            append(argument[...])
        }
        if let mark {
            variables.append(Command.Variable(AttemptMark.variableName, mark.description))
        }
        for variable in variables {
            variableOffsets.append(block.count)
            block.append(contentsOf: variable.name.lazy.map { CChar(bitPattern: $0) })
            block.append(CChar(bitPattern: UInt8(ascii: "=")))
            append(variable.value[...])
        }
    }

    /// The bytes that the command itself brings, for the message when they are too many.
    var byteCount: Int { block.count }

    private mutating func append(_ string: ArraySlice<UInt8>) {
        block.append(contentsOf: string.lazy.map { CChar(bitPattern: $0) })
        block.append(0)
    }

    /// Lends the two lists. What is inherited points into the running process's own environment:
    /// like any use of it, not safe against somebody who changes it at the same time.
    mutating func withPointers<Value>(
        _ body: (
            _ arguments: UnsafePointer<UnsafeMutablePointer<CChar>?>,
            _ environment: UnsafePointer<UnsafeMutablePointer<CChar>?>
        ) -> Value
    ) -> Value {
        block.withUnsafeMutableBufferPointer { block in
            let start = block.baseAddress!
            let arguments = argumentOffsets.map { Optional(start + $0) } + [nil]
            var environment = variableOffsets.map { Optional(start + $0) }
            if let hidden = inheritsAllBut {
                var entry = petiole_environment()
                while let string = entry.pointee {
                    if !hidden.contains(where: { Self.hasName($0, string) }) {
                        environment.append(string)
                    }
                    entry += 1
                }
            }
            environment.append(nil)
            return body(arguments, environment)
        }
    }

    private static func hasName(_ name: [UInt8], _ string: UnsafePointer<CChar>) -> Bool {
        // A string that ends early differs from the name at its zero byte.
        for (index, byte) in name.enumerated() where string[index] != CChar(bitPattern: byte) {
            return false
        }
        return string[name.count] == CChar(bitPattern: UInt8(ascii: "="))
    }
}
