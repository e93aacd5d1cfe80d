import PetioleStorage

/// The names and numbers of the store's format. Every byte is described in the catalogue's page *Format*.
enum StoreFormat {
    /// Goes up when an older program could misread what a newer one writes.
    static let version: UInt16 = 1
    /// "PETL" in little-endian order: the first bytes of the format record.
    static let magic: UInt32 = 0x4C54_4550

    static let tables = [
        "meta", "queues", "names", "jobs", "lanes", "outcomes", "active", "revised", "parked",
        "kept", "timers", "failures", "unique", "groups", "schedules", "tables", "stages",
        "lineage", "events",
    ]

    /// The longest value that a block makes: with LMDB's page header it fills 16 pages.
    static let blockLimit = 65_520
    /// Positions are handed out in steps of this, so that what is split off a range finds a place before it.
    static let positionStep: UInt64 = 65_536
    static let lowestPriority: UInt8 = 9

    // Bytes in `locks`.
    static let recoveryLock: Int64 = 0
    /// Shared by who opens the store, had alone by who compacts it.
    static let gateLock: Int64 = 1
    /// Of who makes a backup.
    static let backupLock: Int64 = 2
    /// Of who begins or stops to follow events.
    static let followingLock: Int64 = 3
    /// Of who takes named resources: held while it looks which are free.
    static let takingLock: Int64 = 4
    /// Of a process that follows.
    static func followerLock(_ process: Int32) -> Int64 {
        followerLocks.lowerBound + Int64(process)
    }
    static let followerLocks: Range<Int64> = 1 << 42..<1 << 43
    /// One of a named resource.
    static func tokenLock(_ resource: UInt32, _ index: Int) -> Int64 {
        1 << 43 + Int64(resource) * Int64(tokensOfResource) + Int64(index)
    }
    static let tokensOfResource = 1_024
    static func queueLock(_ queue: UInt32) -> Int64 { 1 << 20 + Int64(queue) }
    static func seatLock(_ seat: Int) -> Int64 { 1 << 40 + Int64(seat) }
    static func stageLock(_ stage: UInt64) -> Int64 {
        1 << 41 + Int64(truncatingIfNeeded: stage & 0xFFFF_FFFF)
    }
}

/// Handles of the store's tables.
struct StoreTables: Sendable {
    let meta, queues, names, jobs, lanes, outcomes, active, revised, parked, kept, timers: Table
    let stages: Table
    /// Rows of the users' own.
    let rows: Table
    let unique: Table
    let lineage, events: Table
    let failures: Table
    /// Workflows.
    let groups: Table
    let schedules: Table

    init(_ environment: Environment) {
        func table(_ name: String) -> Table { environment.tables[name]! }
        meta = table("meta")
        queues = table("queues")
        names = table("names")
        jobs = table("jobs")
        lanes = table("lanes")
        outcomes = table("outcomes")
        active = table("active")
        revised = table("revised")
        parked = table("parked")
        kept = table("kept")
        timers = table("timers")
        stages = table("stages")
        rows = table("tables")
        unique = table("unique")
        lineage = table("lineage")
        events = table("events")
        failures = table("failures")
        groups = table("groups")
        schedules = table("schedules")
    }
}

/// A record whose bytes do not say what they should.
struct FormatError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
