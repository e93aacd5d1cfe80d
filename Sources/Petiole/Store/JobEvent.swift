/// Something that happened to jobs whose ids follow each other, in one commit.
public struct JobEvent: Sendable, Hashable {
    /// What happened.
    public enum Kind: Sendable, Hashable {
        /// They were accepted, and are ready, or wait for their due time.
        case accepted
        /// What waited, was parked or paused is ready now.
        case ready
        /// An attempt failed, and another is to follow.
        case retried
        /// They wait for a due time, without an attempt being counted: put off, or met before they were due.
        case postponed
        /// Nobody knows their name.
        case parked
        /// Put aside, since their type is paused, or held by hand.
        case paused
        /// They had ended, and are to run once more.
        case requeued
        /// They have another due time or priority.
        case edited
        /// The process that ran them died.
        case interrupted
        /// They ended so.
        case ended(Outcome.Kind)
        /// They were purged.
        case deleted
        /// Events before this one are not known: nobody followed then, or they have given way to newer ones. No jobs are named.
        case missed
    }

    /// Where it stands among the events of the store: those of one commit have one number.
    public let position: UInt64
    /// When.
    public let at: WallTime
    /// What.
    public let kind: Kind
    /// The ids; `0...0` when no jobs are named.
    public let ids: ClosedRange<UInt64>
}

/// What is stored for a kind of event.
enum EventCode {
    /// A follower begins; what came before is there when somebody followed already, or else is not.
    static let begun: UInt8 = 1
    static let begunAnew: UInt8 = 2
    static let accepted: UInt8 = 3
    static let ready: UInt8 = 4
    static let retried: UInt8 = 5
    static let postponed: UInt8 = 6
    static let parked: UInt8 = 7
    static let paused: UInt8 = 8
    static let requeued: UInt8 = 9
    static let edited: UInt8 = 10
    static let interrupted: UInt8 = 11
    static let deleted: UInt8 = 12
    /// Behind it the states of outcomes, by their numbers.
    static let ended: UInt8 = 32
}

extension JobEvent.Kind {
    /// Nil for what is none, or what a newer version has written.
    init?(code: UInt8) {
        switch code {
        case EventCode.accepted: self = .accepted
        case EventCode.ready: self = .ready
        case EventCode.retried: self = .retried
        case EventCode.postponed: self = .postponed
        case EventCode.parked: self = .parked
        case EventCode.paused: self = .paused
        case EventCode.requeued: self = .requeued
        case EventCode.edited: self = .edited
        case EventCode.interrupted: self = .interrupted
        case EventCode.deleted: self = .deleted
        case let ending where ending > EventCode.ended:
            guard let state = OutcomeBlock.State(rawValue: ending - EventCode.ended) else {
                return nil
            }
            self = .ended(Outcome.Kind(state))
        default: return nil
        }
    }
}
