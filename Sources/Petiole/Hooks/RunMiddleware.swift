import Logging

/// An attempt, as middleware sees it.
public struct AttemptInfo: Sendable {
    /// The job's id.
    public let id: JobID
    /// The name of its type.
    public let name: String
    /// Which attempt this is, from 1.
    public let attempt: Int
    /// The queue that it is run from.
    public let queue: String
    /// 0…9, 0 first.
    public let priority: Int
    /// The job's tags and headers.
    public let metadata: JobMetadata
    /// When the job was accepted; of one that was requeued nil.
    public let acceptedAt: WallTime?
}

/// What an attempt came to, before it is decided what follows.
public enum AttemptEnd: Sendable {
    /// It gave a result.
    case succeeded
    /// It failed: what it threw, ``JobControl`` too; a ``CommandFailure`` for a command.
    case failed(any Error)
    /// It was asked to stop, and did.
    case stopped
}

/// A command's end that is no success.
public struct CommandFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// How it ended, in words.
    public let description: String
}

/// What is done around each attempt of a runner: given in ``JobRunner/Options/middleware``, the outermost first.
///
/// It runs where the attempt does. `next` runs the attempt, within the middleware that come after, and says what it came to: it is to be
/// called once. The outcome is the attempt's, whatever middleware does: what one throws is logged; when it returns without having
/// called `next`, that is logged and the attempt is made all the same; a second call is logged, makes no attempt and gives the
/// first one's end. But a ``JobControl`` that is thrown before `next` decides: the attempt is not made, and what was
/// thrown follows, as if the job had thrown it.
public protocol RunMiddleware: Sendable {
    /// Around an attempt on a thread, of a ``Job``, ``RawJob``, closure or command.
    func run(_ attempt: AttemptInfo, _ next: () -> AttemptEnd) throws
    /// Around an attempt of an ``AsyncJob``.
    func runAsync(_ attempt: AttemptInfo, _ next: () async -> AttemptEnd) async throws
}

extension RunMiddleware {
    /// Makes the attempt.
    public func run(_ attempt: AttemptInfo, _ next: () -> AttemptEnd) throws { _ = next() }
    /// Makes the attempt.
    public func runAsync(_ attempt: AttemptInfo, _ next: () async -> AttemptEnd) async throws {
        _ = await next()
    }
}

/// Middleware in their order, the outermost first.
struct RunMiddlewareChain: Sendable {
    let middleware: [any RunMiddleware]
    let logger: Logger

    /// Makes an attempt within all of them. It is made once, unless a control was thrown before: then that is the end.
    func run(_ attempt: AttemptInfo, _ body: () -> AttemptEnd) -> AttemptEnd {
        run(from: 0, attempt, body)
    }

    private func run(
        from index: Int, _ attempt: AttemptInfo, _ body: () -> AttemptEnd
    ) -> AttemptEnd {
        guard index < middleware.count else { return body() }
        var end: AttemptEnd?
        do {
            try middleware[index].run(attempt) {
                if let end {
                    report(index, attempt, Self.ranTwice)
                    return end
                }
                let first = run(from: index + 1, attempt, body)
                end = first
                return first
            }
        } catch let control as JobControl where end == nil {
            return .failed(control)
        } catch {
            report(index, attempt, "\(error)")
        }
        if let end { return end }
        report(index, attempt, Self.ranNever)
        return run(from: index + 1, attempt, body)
    }

    /// The same around a task.
    func runAsync(
        _ attempt: AttemptInfo, _ body: () async -> AttemptEnd
    ) async -> AttemptEnd {
        await runAsync(from: 0, attempt, body)
    }

    private func runAsync(
        from index: Int, _ attempt: AttemptInfo, _ body: () async -> AttemptEnd
    ) async -> AttemptEnd {
        guard index < middleware.count else { return await body() }
        var end: AttemptEnd?
        do {
            try await middleware[index].runAsync(attempt) {
                if let end {
                    report(index, attempt, Self.ranTwice)
                    return end
                }
                let first = await runAsync(from: index + 1, attempt, body)
                end = first
                return first
            }
        } catch let control as JobControl where end == nil {
            return .failed(control)
        } catch {
            report(index, attempt, "\(error)")
        }
        if let end { return end }
        report(index, attempt, Self.ranNever)
        return await runAsync(from: index + 1, attempt, body)
    }

    private static let ranTwice = "it called next a second time"
    private static let ranNever = "it returned without having called next; the attempt is made"

    private func report(_ index: Int, _ attempt: AttemptInfo, _ what: String) {
        logger.warning(
            "run middleware misbehaved",
            metadata: [
                "middleware": "\(type(of: middleware[index]))", "job": "\(attempt.id)",
                "error": "\(what)",
            ])
    }
}

extension AttemptInfo {
    init(
        _ context: JobContext, _ entry: JobEntry, _ queue: OwnedQueue, priority: UInt8,
        acceptedAt: Int64, _ store: OpenStore
    ) {
        id = context.id
        name = entry.name
        attempt = context.attempt
        self.queue = queue.name
        self.priority = Int(priority)
        metadata = context.metadata ?? JobMetadata()
        self.acceptedAt =
            acceptedAt == .max ? nil : store.shown(StoreTime(steady: acceptedAt))
    }
}
