/// What a command came to: how its process ended, how long it ran, what it wrote.
package struct CommandEnd: Sendable, Equatable {
    package enum Cause: Sendable, Equatable {
        case exited(code: Int32)
        case signalled(Int32, coreDumped: Bool)
        /// It has ended, and how is not known here.
        case lost(LossOfEnd)
    }

    package enum LossOfEnd: Sendable, Equatable {
        /// ECHILD: the program that embeds us ignores SIGCHLD, or waits for children that are not
        /// its own.
        case takenByOthers
        case system(code: Int32)
    }

    package let cause: Cause
    /// From the start of the child to its end.
    package let runTime: Duration
    package let output: CapturedOutput
    package let errorOutput: CapturedOutput
    /// A process that the command left behind held its output open beyond
    /// ``ChildProcess/pipeGrace``; what that one wrote later is not here.
    package let outputHeldOpen: Bool
    /// The time limit after which it was stopped.
    package var passedLimit: Duration?
    /// Why its input was not what it was to be; not encoded, since the attempt fails with it.
    var inputFault: SpawnError?

    package init(
        cause: Cause, runTime: Duration, output: CapturedOutput, errorOutput: CapturedOutput,
        outputHeldOpen: Bool
    ) {
        self.cause = cause
        self.runTime = runTime
        self.output = output
        self.errorOutput = errorOutput
        self.outputHeldOpen = outputHeldOpen
    }

    /// Whether it ended well and all that it wrote is kept.
    package var succeeded: Bool {
        cause == .exited(code: 0) && output.isComplete && errorOutput.isComplete
    }
}

/// What a command wrote to one of its outputs.
package enum CapturedOutput: Sendable, Equatable {
    case inline([UInt8])
    /// All of it is in the file of this name in the spill directory, and durable.
    case spilled(name: String, byteCount: UInt64)
    /// The first bytes, and how many after them are gone.
    case incomplete(kept: [UInt8], lostByteCount: UInt64, reason: LossOfOutput)
    /// No more was wanted than this, which is none of its kind, and how many bytes came behind it.
    indirect case cut(CapturedOutput, cutByteCount: UInt64)

    package enum LossOfOutput: Sendable, Equatable {
        /// There was more than fits in memory and nowhere to put it.
        case noSpillDirectory
        case overSpillBound
        case diskFull
        case system(code: Int32)
    }

    package var isComplete: Bool {
        switch self {
        case .incomplete: false
        case .cut(let wanted, _): wanted.isComplete
        case .inline, .spilled: true
        }
    }

    /// How many bytes came behind those that were wanted.
    package var cutByteCount: UInt64 {
        if case .cut(_, let count) = self { count } else { 0 }
    }

    /// What was wanted of it.
    package var wanted: CapturedOutput {
        if case .cut(let wanted, _) = self { wanted } else { self }
    }

    package var byteCount: UInt64 {
        switch self {
        case .inline(let bytes): UInt64(bytes.count)
        case .spilled(_, let byteCount): byteCount
        case .incomplete(let kept, let lost, _): UInt64(kept.count) + lost
        case .cut(let wanted, let count): wanted.byteCount + count
        }
    }
}

extension CommandEnd {
    private static let version: UInt8 = 1
    /// An end with an output that was cut: a tool that knows none says so, and not that the end is damaged.
    private static let versionWithCut: UInt8 = 2

    package func encode(into bytes: inout [UInt8]) {
        var writer = CompactWriter()
        let isCut = output.cutByteCount > 0 || errorOutput.cutByteCount > 0
        writer.write(isCut ? Self.versionWithCut : Self.version)
        switch cause {
        case .exited(let code):
            writer.write(0)
            writer.write(number: UInt64(UInt32(bitPattern: code)))
        case .signalled(let signal, let coreDumped):
            writer.write(coreDumped ? 2 : 1)
            writer.write(number: UInt64(UInt32(bitPattern: signal)))
        case .lost(.takenByOthers):
            writer.write(3)
        case .lost(.system(let code)):
            writer.write(4)
            writer.write(number: UInt64(UInt32(bitPattern: code)))
        }
        writer.write(number: UInt64(max(0, runTime.wholeNanoseconds)))
        writer.write((outputHeldOpen ? 1 : 0) | (passedLimit == nil ? 0 : 2))
        if let passedLimit { writer.write(number: UInt64(max(0, passedLimit.wholeNanoseconds))) }
        output.write(into: &writer)
        errorOutput.write(into: &writer)
        bytes.append(contentsOf: writer.bytes)
    }

    package static func decode(_ bytes: [UInt8]) throws(CompactFault) -> CommandEnd {
        var reader = CompactReader(bytes)
        let version = try reader.byte()
        guard version == Self.version || version == Self.versionWithCut else {
            throw .unknownVersion(version)
        }
        let cause: Cause =
            switch try reader.byte() {
            case 0: .exited(code: try reader.code())
            case 1: .signalled(try reader.code(), coreDumped: false)
            case 2: .signalled(try reader.code(), coreDumped: true)
            case 3: .lost(.takenByOthers)
            case 4: .lost(.system(code: try reader.code()))
            default: throw CompactFault.malformed
            }
        guard let nanoseconds = Int64(exactly: try reader.number()) else { throw .malformed }
        let held = try reader.byte()
        guard held <= 3 else { throw .malformed }
        var passedLimit: Duration?
        if held & 2 != 0 {
            guard let limit = Int64(exactly: try reader.number()) else { throw .malformed }
            passedLimit = .nanoseconds(limit)
        }
        let output = try CapturedOutput(from: &reader)
        let errorOutput = try CapturedOutput(from: &reader)
        try reader.finish()
        var end = CommandEnd(
            cause: cause, runTime: .nanoseconds(nanoseconds), output: output,
            errorOutput: errorOutput, outputHeldOpen: held & 1 != 0)
        end.passedLimit = passedLimit
        return end
    }
}

extension CapturedOutput {
    fileprivate func write(into writer: inout CompactWriter) {
        switch self {
        case .inline(let bytes):
            writer.write(0)
            writer.write(string: bytes)
        case .spilled(let name, let byteCount):
            writer.write(1)
            writer.write(string: Array(name.utf8))
            writer.write(number: byteCount)
        case .incomplete(let kept, let lost, let reason):
            writer.write(2)
            writer.write(string: kept)
            writer.write(number: lost)
            switch reason {
            case .noSpillDirectory: writer.write(0)
            case .overSpillBound: writer.write(1)
            case .diskFull: writer.write(2)
            case .system(let code):
                writer.write(3)
                writer.write(number: UInt64(UInt32(bitPattern: code)))
            }
        case .cut(let wanted, let count):
            writer.write(3)
            writer.write(number: count)
            wanted.write(into: &writer)
        }
    }

    fileprivate init(
        from reader: inout CompactReader, mayBeCut: Bool = true
    ) throws(CompactFault) {
        switch try reader.byte() {
        case 0:
            self = .inline(try reader.string())
        case 1:
            // Who reads this opens the file: a name that could lead out of its directory is
            // refused.
            guard let name = String(validating: try reader.string(), as: UTF8.self),
                SpillPlace.isName(name)
            else { throw .malformed }
            self = .spilled(name: name, byteCount: try reader.number())
        case 2:
            let kept = try reader.string()
            let lost = try reader.number()
            guard !UInt64(kept.count).addingReportingOverflow(lost).overflow else {
                throw .malformed
            }
            let reason: LossOfOutput =
                switch try reader.byte() {
                case 0: .noSpillDirectory
                case 1: .overSpillBound
                case 2: .diskFull
                case 3: .system(code: try reader.code())
                default: throw CompactFault.malformed
                }
            self = .incomplete(kept: kept, lostByteCount: lost, reason: reason)
        case 3 where mayBeCut:
            let count = try reader.number()
            let wanted = try CapturedOutput(from: &reader, mayBeCut: false)
            guard count > 0, !wanted.byteCount.addingReportingOverflow(count).overflow else {
                throw .malformed
            }
            self = .cut(wanted, cutByteCount: count)
        default:
            throw .malformed
        }
    }
}

extension CompactReader {
    fileprivate mutating func code() throws(CompactFault) -> Int32 {
        guard let bits = UInt32(exactly: try number()) else { throw .malformed }
        return Int32(bitPattern: bits)
    }
}

extension Duration {
    /// Rounded down; what does not fit, 292 years, stops at the limit.
    fileprivate var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, carry) = product.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflow || carry ? (seconds < 0 ? .min : .max) : sum
    }
}
