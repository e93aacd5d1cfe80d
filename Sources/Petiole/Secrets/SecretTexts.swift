import PetioleStorage

/// Finds secrets that stand in the text of a failure.
enum SecretTexts {
    /// Shorter ones are found everywhere and say nothing.
    private static let shortest = 4

    /// The texts that are marked as secret in a payload, and the digits of numbers that are; the longest first.
    static func texts(in payload: UnsafeRawBufferPointer, codec: UInt8) -> [String] {
        switch codec {
        case PayloadCodec.compact.id where SecretMark.mayBe(in: payload):
            return texts(inCompact: payload)
        case PayloadCodec.json.id:
            var compact = ByteWriter(capacity: payload.count)
            do throws(CodecError) {
                try JSONToCompact.write(payload, readsBytes: false, into: &compact)
            } catch {
                // What cannot be read has given no secret to anybody.
                return []
            }
            return compact.withBytes { texts(inCompact: $0) }
        default: return []
        }
    }

    private static func texts(inCompact payload: UnsafeRawBufferPointer) -> [String] {
        guard let base = payload.baseAddress, !payload.isEmpty else { return [] }
        let items = CompactItems(
            base: base.assumingMemoryBound(to: UInt8.self), count: payload.count)
        var ledger = KeyLedger()
        var fences = CompactFences()
        do throws(CodecError) {
            try CompactValidator.check(items, ledger: &ledger, fences: &fences)
        } catch {
            // As above.
            return []
        }
        var found: Set<String> = []
        _ = walk(items, 0, isSecret: false, &found)
        return found.filter { $0.utf8.count >= shortest }.sorted { $0.utf8.count > $1.utf8.count }
    }

    /// - Returns: where the item ends.
    private static func walk(
        _ items: CompactItems, _ offset: Int, isSecret: Bool, _ found: inout Set<String>
    ) -> Int {
        let head = items.head(at: offset)
        if let value = SecretMark.value(items, head) {
            return walk(items, value, isSecret: true, &found)
        }
        var end = head.end
        switch head.kind {
        case .text:
            if isSecret { found.insert(String(decoding: items.string(at: offset), as: UTF8.self)) }
            return items.end(of: offset)
        case .unsigned, .negative:
            if isSecret { found.insert(String(head.argument + (head.kind == .negative ? 1 : 0))) }
        case .array:
            for _ in 0..<Int(head.argument) { end = walk(items, end, isSecret: isSecret, &found) }
        case .map:
            for _ in 0..<Int(head.argument) {
                end = walk(items, end, isSecret: isSecret, &found)
                end = walk(items, end, isSecret: isSecret, &found)
            }
        default: return items.end(of: offset)
        }
        return end
    }

    /// A failure's text without the secrets.
    static func without(_ texts: [String], _ failure: FailureRecord) -> FailureRecord {
        // By bytes: a letter with an accent behind it is another character.
        var message = Array(failure.message.utf8)
        for text in texts where !text.isEmpty {
            message = message.replacing(Array(text.utf8), with: Array(SecretMark.shown.utf8))
        }
        return FailureRecord(
            type: failure.type, message: String(decoding: message, as: UTF8.self))
    }
}

extension RunnerCore {
    /// A failure without the secrets of its job's payload. Cost: one look-up of the job, which only failures pay.
    func withoutSecrets(
        _ failed: AttemptFollowUp.Failed, of id: UInt64
    ) -> AttemptFollowUp.Failed {
        let setup = jobStore.setup
        // A payload that cannot be read has given no secret to the attempt.
        let texts = try? store.read { (reader) throws(StorageError) -> [String] in
            guard let block = try Lookup.block(id, reader, store.tables),
                let entry = try? block.entry(id)  // As above.
            else { return [] }
            guard entry.meta.codec == SealedBytes.codec else {
                return SecretTexts.texts(in: entry.payload, codec: entry.meta.codec)
            }
            guard let cipher = setup?.cipher, let name = registry.entry(entry.meta.name),
                // As above.
                let opened = try? cipher.opened(
                    entry.payload, .payload(of: name._withUnsafeGuaranteedRef { $0.name }, store))
            else { return [] }
            return opened.bytes.withUnsafeBytes {
                SecretTexts.texts(in: $0, codec: opened.codec)
            }
        }
        guard let texts, !texts.isEmpty else { return failed }
        var failed = failed
        failed.record = SecretTexts.without(texts, failed.record)
        return failed
    }
}
