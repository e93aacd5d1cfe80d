import PetioleStorage

extension JobContext {
    /// The result of the step before this one.
    /// - Throws: ``InputError``; an error that makes the job a dead letter at once when the result cannot be read as the type.
    /// - Complexity: O(log *n*), and a copy of the result.
    public func input<Value: Codable & Sendable>(as type: Value.Type = Value.self) throws -> Value {
        let source = try source(nil)
        guard source.nodes.count == 1, let id = source.single else {
            throw source.nodes.isEmpty ? InputError.none(id) : InputError.several(id)
        }
        guard let name = source.mapping else {
            return try store.input(JobID(rawValue: id), as: type, for: self.id)
        }
        guard let mapping = runner.inputMappings[name] else {
            throw InputError.unknownMapping(name)
        }
        let mapped = try mapping.apply { type in
            try store.anyInput(JobID(rawValue: id), as: type, for: self.id)
        }
        guard let value = mapped as? Value else {
            throw UndecodablePayload(
                "the mapping \"\(visible(name))\" gives \(Swift.type(of: mapped)), and job \(self.id) takes \(type)"
            )
        }
        return value
    }

    /// The result of the step of its workflow that has a name.
    /// - Throws: as ``input(as:)``; ``InputError/noSuchStep(_:)``.
    public func input<Value: Codable & Sendable>(
        from step: String, as type: Value.Type = Value.self
    ) throws -> Value {
        let source = try source(step)
        guard let id = source.single else { throw InputError.several(id) }
        return try store.input(JobID(rawValue: id), as: type, for: self.id)
    }

    /// The results of the group before this step, in the order of its members, read while they are gone through.
    /// - Throws: ``InputError``.
    public func results<Member: Codable & Sendable>(
        of type: Member.Type = Member.self
    ) throws -> MemberResults<Member> {
        MemberResults(store: store, ranges: try source(nil).ranges)
    }

    /// The same of the group of its workflow that has a name.
    public func results<Member: Codable & Sendable>(
        from step: String, of type: Member.Type = Member.self
    ) throws -> MemberResults<Member> {
        MemberResults(store: store, ranges: try source(step).ranges)
    }

    /// The job because of which what this one is the callback of did not succeed; nil: there is none.
    /// - Throws: ``InputError``.
    public var failedStep: FailedStep? {
        get throws {
            guard let member else { throw InputError.none(id) }
            return try store.failedStep(before: member)
        }
    }

    private func source(_ step: String?) throws -> InputSource {
        guard let member else { throw InputError.none(id) }
        return try store.inputSource(member, step, for: id)
    }
}

/// A job that did not succeed, as a callback is told.
public struct FailedStep: Sendable, Hashable {
    /// The job.
    public let id: JobID
    /// The name of its step.
    public let name: String
    /// How it ended.
    public let outcome: Outcome
}

/// Which jobs give a job its input.
struct InputSource {
    var nodes: [UInt32] = []
    var ranges: [IDRange] = []
    var mapping: String?
    /// The one job; nil: there are several, or none.
    var single: UInt64? { ranges.count == 1 && ranges[0].count == 1 ? ranges[0].first : nil }
}

extension JobStore {
    func inputSource(
        _ member: WorkflowMember, _ step: String?, for id: JobID
    ) throws -> InputSource {
        let open = open
        let found: Result<InputSource, InputError>
        do throws(StoreError) {
            found = try open.read { (reader) throws(StorageError) in
                guard let view = try WorkflowView(member.token, reader, open) else {
                    return .failure(.none(id))
                }
                var source = InputSource()
                if let step {
                    guard let index = try view.node(named: step) else {
                        return .failure(.noSuchStep(step))
                    }
                    source.nodes = [index]
                } else {
                    let node = try view.node(member.node)
                    source.nodes = node.inputs.map { view.plan.input($0) }
                    source.mapping = view.plan.mapping(of: node)
                    if source.nodes.isEmpty { return .failure(.none(id)) }
                }
                for index in source.nodes { try view.addJobs(of: index, to: &source.ranges) }
                return .success(source)
            }
        } catch { throw InputError.store(error) }
        return try found.get()
    }

    /// A step's result, for the job that it is the input of.
    func input<Value: Codable & Sendable>(
        _ id: JobID, as type: Value.Type, for reader: JobID
    ) throws -> Value {
        try anyInput(id, as: type, for: reader) as! Value
    }

    /// The same as any type.
    func anyInput(
        _ id: JobID, as type: any (Codable & Sendable).Type, for reader: JobID
    ) throws -> any Sendable {
        func read<Value: Codable & Sendable>(_ type: Value.Type) throws -> any Sendable {
            do {
                return try JobHandle<Value>(store: self, id: id, codec: .compact).endedResult()
            } catch let error as JobError {
                guard case .undecodable(_, let reason) = error else {
                    if case .keepsNoResult = error {
                        throw UndecodablePayload(
                            "\(error), and job \(reader) is to be given it")
                    }
                    throw InputError.failed(error)
                }
                // It always will be: a dead letter at once, which names both.
                let name = (try? name(of: id)) ?? "?"
                throw UndecodablePayload(
                    "the result of job \(id) (\(name)) is not the \(type) that job \(reader) takes: \(reason)"
                )
            }
        }
        return try read(type)
    }

    func failedStep(before member: WorkflowMember) throws -> FailedStep? {
        let open = open
        let found: (id: UInt64, name: String)?
        do throws(StoreError) {
            found = try open.read { (reader) throws(StorageError) in
                guard let view = try WorkflowView(member.token, reader, open) else { return nil }
                return try view.failure(before: member.node)
            }
        } catch { throw InputError.store(error) }
        guard let found else { return nil }
        guard case .ended(let outcome) = try state(of: JobID(rawValue: found.id)) else {
            return nil
        }
        return FailedStep(id: JobID(rawValue: found.id), name: found.name, outcome: outcome)
    }
}

/// The results of a group's members, in their order. Read from the store 1,024 at a time while they are gone through: however
/// many there are, they take no memory.
public struct MemberResults<Member: Codable & Sendable>: Sequence, Sendable {
    let store: JobStore
    let ranges: [IDRange]

    /// How many members there are.
    public var count: Int { ranges.reduce(0) { $0 + Int($1.count) } }
    /// As ``count``.
    public var underestimatedCount: Int { count }

    /// Goes through them from the first on.
    public func makeIterator() -> Iterator { Iterator(store: store, ranges: ranges) }

    /// Gives a result, or why there is none: a member that did not succeed, where the group went on, or one that cannot be read.
    public struct Iterator: IteratorProtocol {
        private let store: JobStore
        private var ranges: ArraySlice<IDRange>
        private var read: [Result<Member, JobError>] = []
        private var place = 0

        init(store: JobStore, ranges: [IDRange]) {
            self.store = store
            self.ranges = ranges[...]
        }

        /// The next one; nil after the last.
        public mutating func next() -> Result<Member, JobError>? {
            if place == read.count { fill() }
            guard place < read.count else { return nil }
            defer { place += 1 }
            return read[place]
        }

        private mutating func fill() {
            read.removeAll(keepingCapacity: true)
            place = 0
            while read.count < 1_024, let range = ranges.first {
                let count = Swift.min(range.count, UInt64(1_024 - read.count))
                store.readResults(IDRange(first: range.first, count: count), into: &read)
                if count == range.count {
                    ranges.removeFirst()
                } else {
                    ranges[ranges.startIndex] = IDRange(
                        first: range.first + count, count: range.count - count)
                }
            }
        }
    }
}

extension JobStore {
    /// Reads the results of jobs that have ended, in one view.
    func readResults<Member: Codable & Sendable>(
        _ range: IDRange, into results: inout [Result<Member, JobError>]
    ) {
        let open = open
        var read: [Result<Member, JobError>?] = []
        do throws(StoreError) {
            read = try open.read { (reader) throws(StorageError) in
                var read: [Result<Member, JobError>?] = []
                var id = range.first
                while id < range.end {
                    guard let block = try Lookup.outcomes(id, reader, open.tables) else {
                        read.append(nil)
                        id += 1
                        continue
                    }
                    while id < min(block.end, range.end) {
                        read.append(Self.plainResult(id, block))
                        id += 1
                    }
                }
                return read
            }
        } catch {
            results += Array(repeating: .failure(.store(error)), count: Int(range.count))
            return
        }
        for (index, result) in read.enumerated() {
            // What is not simply a result in the block is read as any job's.
            results.append(
                result
                    ?? JobHandle<Member>(
                        store: self, id: JobID(rawValue: range.first + UInt64(index)),
                        codec: .compact
                    ).ended())
        }
    }

    /// Nil: it is to be read in another way.
    private static func plainResult<Member: Codable & Sendable>(
        _ id: UInt64, _ block: OutcomeBlockView
    ) -> Result<Member, JobError>? {
        // What cannot be read says so when it is read alone.
        guard let entry = try? block.entry(id), entry.state == .succeeded,
            !entry.isResultDiscarded, let form = PayloadCodec(storedID: entry.codec)
        else { return nil }
        if let none = NoResult() as? Member { return .success(none) }
        do throws(CodecError) {
            return .success(try form.decode(Member.self, from: entry.result))
        } catch {
            return .failure(.undecodable(JobID(rawValue: id), reason: error.description))
        }
    }
}

extension JobHandle {
    /// The result of a job that has ended.
    func endedResult() throws -> Output {
        if let end = store.endIfThere(id) { return try end.flatMap { Result { try read() } }.get() }
        throw JobError.noSuchJob(id)
    }

    func ended() -> Result<Output, JobError> {
        do { return .success(try endedResult()) } catch let error as JobError {
            return .failure(error)
        } catch {
            // It throws nothing else.
            return .failure(.undecodable(id, reason: "\(error)"))
        }
    }
}
