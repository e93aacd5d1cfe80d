import Logging
import PetioleStorage

/// How a store is made, and what its settings are from then on.
public struct StoreOptions: Sendable {
    /// What a power cut may cost.
    public enum Durability: Sendable {
        /// What was accepted and recorded is on the disk before anybody is told.
        case durable
        /// Never synced: for tests, memory file systems and caches. A power cut may lose everything, a killed process
        /// nothing. The store's format says so for ever.
        case scratch
    }

    /// Whether a store that is missing is made.
    public var createsStore = true
    /// For a store that is made now; one that exists keeps its own.
    public var durability = Durability.durable
    /// How long jobs that have ended are kept, in whole seconds; 7 days unless set. Pruned some time after. Nil leaves the
    /// store's setting alone.
    public var retention: Duration?
    /// The same for a store that is made now, where ``retention`` is nil; one that exists keeps its own.
    package var retentionWhenMade: Duration?
    /// Bytes that the store's data file may take, at least 64 MiB; 64 GiB unless set. Nil leaves the store's setting alone.
    public var byteLimit: Int?
    /// Bytes that one payload may have, at most 1 GiB; 64 MiB unless set. Nil leaves the store's setting alone.
    public var payloadLimit: Int?
    /// The share of the byte limit that ended jobs may fill before the oldest are pruned early, 0…1; 0.5 unless set. Nil
    /// leaves the store's setting alone.
    public var retentionShare: Double?
    /// What is done around each enqueue by way of the opened ``JobStore``, the outermost first.
    public var enqueueMiddleware: [any EnqueueMiddleware] = []
    /// Who hears of each step of the jobs of this store that this process makes, until the opened ``JobStore`` is closed. Of the starts
    /// of attempts they hear for runners that are made after the opening.
    public var listeners: [JobListener] = []
    /// Which queue jobs go to that are enqueued without one; nil: the job type's.
    public var routing: Routing?
    #if Encryption
        /// Keys with which payloads and results are encrypted that this opening accepts and records; nil: none is.
        public var encryption: EncryptionKeys?
    #endif
    /// For tests, and for builds without the trait: nil.
    var cipher: PayloadCipher? {
        get {
            #if Encryption
                return givenCipher ?? encryption?.cipher
            #else
                return givenCipher
            #endif
        }
        set { givenCipher = newValue }
    }
    private var givenCipher: PayloadCipher?
    /// Where misbehaviour of middleware and listeners is told.
    public var logger = Logger(label: "petiole")

    /// Makes options that make a missing store and change no setting of one that exists.
    public init() {}

    /// Settings of a store for which none were given.
    static let defaults = SettingsRecord(
        retentionSeconds: 7 * 86_400, retentionShare: 500, byteLimit: 64 << 30,
        payloadLimit: 64 << 20)

    /// 30,000 years, in seconds: longer ones would not fit when counted in microseconds.
    static let longest: Int64 = 1 << 40

    func applied(to settings: SettingsRecord) -> SettingsRecord {
        var settings = settings
        if let retention {
            settings.retentionSeconds = min(max(0, retention.components.seconds), Self.longest)
        }
        if let byteLimit { settings.byteLimit = UInt64(max(byteLimit, 64 << 20)) }
        if let payloadLimit {
            settings.payloadLimit = UInt32(min(max(payloadLimit, 0), 1 << 30))
        }
        if let retentionShare, !retentionShare.isNaN {
            settings.retentionShare = UInt16(min(max(retentionShare, 0), 1) * 1_000)
        }
        return settings
    }
}

extension StoreOptions {
    /// In the writer's transaction: over what is there now, whoever has set it.
    func apply(
        _ transaction: inout WriteTransaction, _ state: inout CommitState
    ) throws(StorageError) {
        let tables = state.tables
        let settings = try SettingsRecord.read(transaction, tables)
        let changed = applied(to: settings)
        if changed == settings { return }
        try withBytes(changed.bytes) { (value) throws(StorageError) in
            try transaction.put(
                tables.meta, RecordKey.settings.withUnsafeBytes { Key(copying: $0) }, value)
        }
        state.sequences.settingsTurn &+= 1
        // A higher limit is room for who waits.
        state.hasRoom = true
    }
}
