/// Which queue jobs go to by their name: configuration of a program rather than of its job types.
///
/// Given to a store when it is opened (``StoreOptions/routing``). A job goes to the queue that its enqueue names; else to that of the
/// first rule that fits its name; else to its type's. A runner made with such a store owns the queues that its job types are
/// routed to.
public struct Routing: Sendable {
    /// One rule.
    public struct Rule: Sendable {
        let queue: @Sendable (String) -> String?
        /// What is written in it, to be checked: job names and queues.
        var names: [String] = []
        var queues: [String] = []

        /// Jobs of this name.
        public static func exact(_ name: String, to queue: String) -> Rule {
            Rule(queue: { $0 == name ? queue : nil }, names: [name], queues: [queue])
        }

        /// Jobs whose names begin like this; all with an empty one.
        public static func prefix(_ prefix: String, to queue: String) -> Rule {
            Rule(queue: { $0.hasPrefix(prefix) ? queue : nil }, queues: [queue])
        }

        /// Whatever a closure says of a name; nil: the rule does not fit. The same name must give the same queue each time, since it is
        /// asked by the enqueue and by the runner. A queue's name of the wrong form is the enqueue's error.
        public static func custom(_ queue: @escaping @Sendable (_ name: String) -> String?) -> Rule
        {
            Rule(queue: queue)
        }
    }

    private let rules: [Rule]

    /// Makes a routing of rules, the first that fits decides.
    /// - Throws: ``EnqueueError/invalidName(_:what:)`` for a name in a rule that no job or queue can have.
    public init(_ rules: [Rule]) throws(EnqueueError) {
        for rule in rules {
            for name in rule.names { try NameForm.check(name, "job") }
            for queue in rule.queues { try NameForm.check(queue, "queue") }
        }
        self.rules = rules
    }

    /// The queue of the first rule that fits; nil: none does. Cost: O(rules).
    public func queue(for name: String) -> String? {
        for rule in rules {
            if let queue = rule.queue(name) { return queue }
        }
        return nil
    }
}
