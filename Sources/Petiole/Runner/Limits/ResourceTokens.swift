import PetioleDispatch
import PetioleStorage

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

// Named resources
//
// A store says how many there are of each: "gpu": 2. Each of them is a byte in the store's file of locks, and who uses one holds
// its lock: so they are counted across all processes, and one that dies gives back what it had, by the kernel.
//
// Who needs several takes all or none, and waits holding nothing: nobody waits for somebody who waits. One at a time takes, since
// what is taken and given up again would hide it from the others. Who gives some back rings
// *recorded*, on which the others wait; a process that dies rings nothing, and is found within a second.

/// So many of a named resource.
package struct ResourceNeed: Sendable, Equatable {
    package let name: String
    package let count: Int

    package init(name: String, count: Int) {
        self.name = name
        self.count = count
    }
}

/// A named resource of a store.
package struct ResourceCount: Sendable, Equatable {
    package let name: String
    /// How many there are.
    package let count: Int
    /// How many are in use now; more than there are after a change.
    package let used: Int
}

extension JobStore {
    /// Of one resource: each has a lock of its own.
    package static let mostOfResource = StoreFormat.tokensOfResource

    /// Says how many there are of a resource, for all processes, from the next start of each on; what runs goes on.
    /// - Parameter count: 0 to ``mostOfResource``; nil: the store knows none of that name.
    package func setResource(_ name: String, count: Int?) async throws(StoreError) {
        guard NameForm.isValid(name) else {
            throw .invalidOption(
                EnqueueError.invalidName(name, what: "resource").description)
        }
        if let count, !(0...Self.mostOfResource).contains(count) {
            throw .invalidOption(
                "of \"\(name)\" there are to be \(count); 0 to \(Self.mostOfResource) are allowed")
        }
        let tables = open.tables
        try await open.perform { (transaction, state) throws(StorageError) in
            let key = RecordKey.resource(try state.number(ofName: name, &transaction))
            if let count {
                try transaction.put(tables.meta, key, count: 4) { target in
                    target.storeBytes(of: UInt32(count).littleEndian, as: UInt32.self)
                }
            } else {
                try transaction.delete(tables.meta, key)
            }
        }
        // Who waits looks again.
        open.signals.recorded.ring()
    }

    /// The resources that the store knows.
    /// - Complexity: O(*n*) in them and how many there are of each.
    package func resources() throws(StoreError) -> [ResourceCount] {
        let tables = open.tables
        let rows = try open.read { (reader) throws(StorageError) -> [(UInt32, Int)] in
            var rows: [(UInt32, Int)] = []
            let cursor = try reader.cursor(tables.meta)
            var entry = try cursor.ceiling(RecordKey.resource(0))
            while let (key, value) = entry, key.count == 5, key[0] == RecordKey.resourceLetter {
                rows.append((key.bigEndian(at: 1), Int(try ResourceTokens.count(value))))
                entry = try cursor.next()
            }
            return rows
        }
        var found: [ResourceCount] = []
        for (number, count) in rows {
            // Also those above the count: it may have been greater.
            let first = StoreFormat.tokenLock(number, 0)
            let all = first..<first + Int64(StoreFormat.tokensOfResource)
            let isUsed = open.locks.isAnyHeld(in: all)
            let used = isUsed ? all.count(where: { open.locks.holder(of: $0) != nil }) : 0
            found.append(
                ResourceCount(name: try jobName(number) ?? "?", count: count, used: used))
        }
        return found.sorted { $0.name < $1.name }
    }
}

/// What the starts of a runner take of the store's resources.
final class ResourceTokens: Sendable {
    private let store: OpenStore
    private let needs: [ResourceNeed]

    init(_ store: OpenStore, _ needs: [ResourceNeed]) {
        self.store = store
        self.needs = needs
    }

    /// What a try came to.
    enum Taken {
        /// The locks that are held.
        case all([Int64])
        /// There is not enough of one now: how many there are in all; nil: the store knows none of that name.
        case missing(ResourceNeed, of: Int?)
        /// Others take, or one that was stopped while it did.
        case othersTake
    }

    /// Takes all that is needed, or nothing.
    func take() throws(StoreError) -> Taken {
        guard try begin() else { return .othersTake }
        defer { store.locks.unlock(StoreFormat.takingLock) }
        return try takeAlone()
    }

    /// It is held for microseconds, unless its holder is stopped by a signal meanwhile.
    private func begin() throws(StoreError) -> Bool {
        do throws(StorageError) {
            for _ in 0..<1_000 {
                if try store.locks.tryLock(StoreFormat.takingLock) == .taken { return true }
                sched_yield()
            }
            return false
        } catch { throw store.storeError(error) }
    }

    private func takeAlone() throws(StoreError) -> Taken {
        var held: [Int64] = []
        for need in needs {
            guard let (number, count) = try known(need.name) else {
                giveUp(held)
                return .missing(need, of: nil)
            }
            var missing = need.count
            for index in 0..<count where missing > 0 {
                let byte = StoreFormat.tokenLock(number, index)
                do throws(StorageError) {
                    guard try store.locks.tryLock(byte) == .taken else { continue }
                } catch {
                    giveUp(held)
                    throw store.storeError(error)
                }
                held.append(byte)
                missing -= 1
            }
            if missing > 0 {
                giveUp(held)
                return .missing(need, of: count)
            }
        }
        return .all(held)
    }

    func giveBack(_ held: [Int64]) {
        giveUp(held)
        store.signals.recorded.ring()
    }

    /// A value to be handed to ``wait(since:)``, read before what it waits for is looked at.
    var now: UInt32 { store.signals.recorded.value }

    /// Blocks the thread until somebody may have given something back, or a second is over.
    func wait(since seen: UInt32) {
        _ = store.signals.recorded.wait(whileAt: seen, for: 1_000_000_000)
    }

    /// Ends the waits.
    func ring() { store.signals.recorded.ring() }

    private func giveUp(_ held: [Int64]) {
        for byte in held { store.locks.unlock(byte) }
    }

    private func known(_ name: String) throws(StoreError) -> (number: UInt32, count: Int)? {
        let tables = store.tables
        return try store.read { (reader) throws(StorageError) -> (UInt32, Int)? in
            let row = try withBytes(RecordKey.bytes("n" + name)) { (key) throws(StorageError) in
                try reader.value(tables.names, key)
            }
            guard let row, row.count >= 4 else { return nil }
            let number: UInt32 = row.littleEndian(at: 0)
            guard let value = try reader.value(tables.meta, RecordKey.resource(number)) else {
                return nil
            }
            return (number, Int(try Self.count(value)))
        }
    }

    static func count(_ value: UnsafeRawBufferPointer) throws(StorageError) -> UInt32 {
        guard value.count >= 4 else { throw .damaged("a resource's row is cut short") }
        return min(value.littleEndian(at: 0), UInt32(StoreFormat.tokensOfResource))
    }
}
