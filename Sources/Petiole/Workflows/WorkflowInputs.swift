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
        let state: JobState
        do throws(StoreError) {
            state = try self.state(of: JobID(rawValue: found.id))
        } catch .noSuchJob {
            // Purged since.
            return nil
        } catch { throw InputError.store(error) }
        guard case .ended(let outcome) = state else { return nil }
        return FailedStep(id: JobID(rawValue: found.id), name: found.name, outcome: outcome)
    }
}
