import Foundation
import Testing

@testable import Petiole

/// The program whose first line serves children: what its jobs do stands in `CrashChild/IsolatedJobs.swift`. Here they have
/// their options, and never run.
enum ServingProgram {
    static let path: String = {
        do { return try Child.executable() } catch {
            Issue.record(error)
            return "/missing"
        }
    }()
}

protocol IsolatedKind: Job where Output == Int {
    init(kind: String, number: Int, path: String)
}

extension IsolatedKind {
    static var jobName: String { "Isolated" }
    static var retryPolicy: RetryPolicy {
        RetryPolicy(maxAttempts: 1, backoff: .constant(.milliseconds(1)))
    }

    init(_ kind: String, _ number: Int = 0, path: String = "") {
        self.init(kind: kind, number: number, path: path)
    }

    func run(_ context: JobContext) throws -> Int {
        Issue.record("an isolated job runs in the runner's process")
        return 0
    }
}

struct Isolated: IsolatedKind {
    static let isolation = Isolation.process(executable: ServingProgram.path)
    var kind: String
    var number: Int
    var path: String
}

/// Each child serves three.
struct IsolatedThree: IsolatedKind {
    static let isolation = Isolation.process(executable: ServingProgram.path, maxJobs: 3)
    var kind: String
    var number: Int
    var path: String
}

/// Each child serves until it has 256 MiB.
struct IsolatedSmall: IsolatedKind {
    static let isolation = Isolation.process(
        executable: ServingProgram.path, maxResidentBytes: 256 << 20)
    var kind: String
    var number: Int
    var path: String
}

struct IsolatedTask: AsyncJob {
    static let isolation = Isolation.process(executable: ServingProgram.path)
    static let retryPolicy = RetryPolicy.never
    var kind: String
    var number = 0

    init(_ kind: String, _ number: Int = 0) {
        self.kind = kind
        self.number = number
    }

    func run(_ context: JobContext) async throws -> Int {
        Issue.record("an isolated task runs in the runner's process")
        return 0
    }
}

enum IsolatedBytes: RawJob {
    static let isolation = Isolation.process(executable: ServingProgram.path)

    static func run(_ payload: RawSpan, result: inout ResultBytes, context: JobContext) throws {
        Issue.record("an isolated job runs in the runner's process")
    }
}

/// A script of the test's in place of a serving program.
struct ScriptedProgram {
    @TaskLocal static var path = "/missing"

    private let directory: TestDirectory
    var path: String { directory.path + "/program" }

    init(_ lines: String) throws {
        directory = try TestDirectory()
        try writeProgram("#!/bin/sh\n\(lines)\n", to: path)
    }

    func remove() { directory.remove() }

    /// Waits before its first line until it is let go, for once.
    static func slow() throws -> ScriptedProgram {
        // Descriptor 0 is the child's control pipe: the line comes by another one.
        let program = try ScriptedProgram(
            """
            if test -e "$0.go"; then exec 9<"$0.go"; read line <&9; exec 9<&-; rm -f "$0.go"; fi
            exec \(ServingProgram.path)
            """)
        try #require(mkfifo(program.path + ".go", 0o600) == 0)
        return program
    }

    /// Waits for a child that has come so far, and lets it go on. Blocks the thread.
    func letGo() throws {
        let file = try #require(fopen(path + ".go", "we"))
        fputs("go\n", file)
        fclose(file)
    }

    /// Says that it serves, and when it is let go does so.
    static func serving(then lines: String) throws -> ScriptedProgram {
        let zeroes = String(repeating: "\\000", count: 16)
        let program = try ScriptedProgram(
            """
            printf 'PTCF\\001\\000\\000\\000' >&3
            printf '\(zeroes.prefix(32))\\00\(ChildProtocol.version)\(zeroes.prefix(28))\(zeroes)' >&3
            exec 9<"$0.go"; read line <&9; exec 9<&-
            \(lines)
            """)
        try #require(mkfifo(program.path + ".go", 0o600) == 0)
        return program
    }

    /// Says that it serves, and ends when it is given a job.
    static func stillborn() throws -> ScriptedProgram {
        let zeroes = String(repeating: "\\000", count: 16)
        return try ScriptedProgram(
            """
            printf 'PTCF\\001\\000\\000\\000' >&3
            printf '\(zeroes.prefix(32))\\00\(ChildProtocol.version)\(zeroes.prefix(28))\(zeroes)' >&3
            head -c 24 <&3 >/dev/null
            exit 7
            """)
    }
}

struct ScriptedKind: IsolatedKind {
    static var isolation: Isolation { .process(executable: ScriptedProgram.path) }
    var kind: String
    var number: Int
    var path: String
}

extension JobStore {
    /// Until a job has told of its progress, and so runs in its child.
    func awaitProgress(of id: JobID) async throws {
        while progress(of: id) == nil {
            // Better a failure than a test that hangs.
            try #require(try outcome(of: id) == nil)
            try await turn()
        }
    }

    /// The one failure that a job has come to.
    func failure(of id: JobID) throws -> JobFailure { try #require(try outcome(of: id)?.failure) }
}

/// Waits until a process has ended, without looking at a clock: whoever expects that is stopped by the test's time limit.
func awaitEnd(of pid: pid_t) async throws {
    try await onThread("test-end") {
        guard let info = ProcessIdentity.info(of: pid) else { return }
        _ = ProcessIdentity.awaitEnds(
            [ProcessIdentity(pid: pid, startTime: info.start_time)], until: nil)
    }
}
