import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

/// The blocks of one large input, each of which is the standard input of a command.
struct PipeFeed: RunFeed {
    private enum Source {
        case file(FileBlocks)
        case pipe(PipeBlocks)
    }
    private var source: Source
    private let template: PipeTemplate
    private let stop: Int32
    /// Of a pipe: how many blocks may be kept at once, nil: two more than twice the commands at once; and by what their hashes
    /// are made.
    private let most: Int?
    private let key: KeyedHash.Key
    private var number = 0
    private var kept: Keeping?

    private struct Keeping {
        let store: JobStore
        let queue: String
        var isSwept = false
        let blocks: KeptBlocks
        let token: Int
    }

    /// Blocks of a file that are listed together.
    private static let chunkSize = 256

    init(_ file: FileBlocks, _ template: PipeTemplate, stop: Int32) {
        source = .file(file)
        self.template = template
        self.stop = stop
        most = nil
        key = KeyedHash.Key()
    }

    /// - Parameters:
    ///   - most: blocks that are kept at once; nil: two more than twice the commands at once.
    ///   - run: the name of the run, the same for each start, and for a copy of the store.
    init(_ pipe: PipeBlocks, _ template: PipeTemplate, most: Int?, run: String, stop: Int32) {
        source = .pipe(pipe)
        self.template = template
        self.stop = stop
        self.most = most
        key = Self.key(of: run)
    }

    var total: Int? { nil }

    // Of a pipe each block is accepted before the next is waited for.
    var mayWait: Bool { if case .pipe = source { true } else { false } }

    mutating func isEmpty() throws -> Bool {
        switch source {
        case .file(let file): file.isAtEnd
        case .pipe(let pipe): try pipe.isEmpty()
        }
    }

    mutating func begin(
        _ store: JobStore, queue: String, places: @escaping @Sendable () -> Int
    ) throws {
        guard case .pipe = source else { return }
        let most = most
        let blocks = try KeptBlocks(store, queue: queue) { most ?? places() * 2 + 2 }
        kept = Keeping(store: store, queue: queue, blocks: blocks, token: blocks.start())
    }

    func end() async {
        if let kept { await kept.blocks.finish(kept.token) }
    }

    mutating func next(_ known: inout KnownInputs) throws -> RunChunk? {
        let chunk: RunChunk?
        switch source {
        case .file(var file):
            defer { source = .file(file) }
            chunk = try next(&file, &known)
        case .pipe(let pipe): chunk = try next(pipe, &known)
        }
        // Nobody is to take that for the end.
        if chunk == nil, isStopped { throw CancellationError() }
        return chunk
    }

    private var isStopped: Bool {
        var entry = pollfd(fd: stop, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    private mutating func next(
        _ file: inout FileBlocks, _ known: inout KnownInputs
    ) throws -> RunChunk? {
        if isStopped { return nil }
        var chunk = RunChunk()
        while chunk.listed < Self.chunkSize, let block = try file.next() {
            number += 1
            let mark = Self.mark(of: block)
            guard let occurrence = try chunk.list(InputMark.Key(Input(mark)), &known)
            else { continue }
            chunk.requests.append(try request(.range(block), mark, occurrence))
        }
        return chunk.listed == 0 ? nil : chunk
    }

    private mutating func next(
        _ pipe: PipeBlocks, _ known: inout KnownInputs
    ) throws -> RunChunk? {
        if let kept {
            if !kept.isSwept { kept.store.sweepStoredInputs(ownQueue: kept.queue) }
            self.kept?.isSwept = true
            guard try kept.blocks.waitForRoom(stop: stop) else { return nil }
        }
        var found: (mark: [UInt8], occurrence: Int)?
        let keeping = kept
        var chunk = RunChunk()
        let block = try pipe.next(key) {
            guard let keeping else { return nil }
            return try keeping.store.newStoredInput(queue: keeping.queue)
        } isWanted: { block in
            let mark = Self.mark(of: block)
            found = try chunk.list(InputMark.Key(Input(mark)), &known).map { (mark, $0) }
            if found != nil { return .asItself }
            // One that runs once more: what its job names was deleted when that succeeded.
            guard let job = known.lastEnded else { return .no }
            return (keeping?.store.storedInputName(of: JobID(rawValue: job))).map { .named($0) }
                ?? .no
        }
        guard let block else { return nil }
        number = block.number
        if let (mark, occurrence) = found {
            let input = block.name.map { Command.Input.stored(name: Array($0.utf8)) }
            chunk.requests.append(try request(input ?? .null, mark, occurrence))
        }
        return chunk
    }

    private func request(
        _ input: Command.Input, _ mark: [UInt8], _ occurrence: Int
    ) throws -> JobStore.CommandRequest {
        do {
            return JobStore.CommandRequest(
                command: try template.command(for: input, number: number),
                input: InputMark.bytes(InputMark.Key(Input(mark)), occurrence: occurrence))
        } catch {
            throw Failure("\(error)", status: 125)
        }
    }

    // MARK: What a block is known by

    private static func mark(of block: FileRange) -> [UInt8] {
        let identity = block.identity
        return Array("bytes \(block.offset)+\(block.length) of ".utf8) + block.path
            + Array(" (\(identity.size), \(identity.modified), \(identity.inode))".utf8)
    }

    private static func mark(of block: PipeBlocks.Block) -> [UInt8] {
        let hash = [block.hash.low, block.hash.high].map { String($0, radix: 16) }
        return Array("block \(block.number), \(block.length) bytes (\(hash[0]) \(hash[1]))".utf8)
    }

    private static func key(of run: String) -> KeyedHash.Key {
        var name = run
        return name.withUTF8 { bytes in
            let value = KeyedHash.of(UnsafeRawBufferPointer(bytes), KeyedHash.Key(low: 1, high: 2))
            return KeyedHash.Key(low: value.low, high: value.high)
        }
    }
}
