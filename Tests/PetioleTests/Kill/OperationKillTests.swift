import Foundation
import Testing

@testable import Petiole

@Suite("Kills of who operates", .serialized, .timeLimit(.minutes(10))) struct OperationKillTests {
    fileprivate func note(_ ran: Trace<Int>) -> JobClosure {
        JobClosure("note") { (number: Int, _) -> Int in
            ran.add(number)
            return number
        }
    }

    @Test(
        "an edit that dies at any step has been made or not, and the job runs once",
        arguments: [
            "beforeCommit:1", "afterCommit:1", "changeMarked:1", "beforeCommit:2", "afterCommit:2",
        ])
    func edit(point: String) async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        defer { store.close() }
        let ran = Trace<Int>()
        try await store.numbers("note", [1, 2, 3])
        let child = try Child(["edit", directory.store, "3", "0"], crashAt: point)
        try await expectEqual(child.end(), .exit(9))
        expectSound(store)
        try await makeRunner(store, [note(ran)]).run {}
        #expect(ran.items.sorted() == [1, 2, 3])
        // With the commit of the mark it is decided, though another may carry it out, at the latest when he meets the job.
        if point == "afterCommit:2" { #expect(ran.items == [3, 1, 2]) }
        if point == "beforeCommit:1" { #expect(ran.items == [1, 2, 3]) }
    }

    @Test(
        "of a job type that goes on all jobs run, though who said so died over it",
        arguments: [
            ("typeResumed:1", false), ("beforeCommit:2", false), ("afterCommit:2", false),
            // With an owner there may be nothing left for a second commit.
            ("typeResumed:1", true),
        ])
    func resume(point: String, isOwned: Bool) async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        defer { store.close() }
        let ran = Trace<Int>()
        try await store.numbers("note", Array(1...5))
        try await store.pause(jobType: "note")
        let runner = try makeRunner(store, [note(ran)])
        if isOwned {
            try await runner.run {
                while try store.counts().parked < 5 { try await turn() }
                let child = try Child(["resume", directory.store, "note"], crashAt: point)
                try await expectEqual(child.end(), .exit(9))
                while try store.counts().succeeded < 5 { try await turn() }
            }
        } else {
            try await runner.run {}
            let child = try Child(["resume", directory.store, "note"], crashAt: point)
            try await expectEqual(child.end(), .exit(9))
            try await makeRunner(store, [note(ran)]).run {}
        }
        expectSound(store)
        #expect(ran.items.sorted() == Array(1...5))
    }
}

extension OperationKillTests {
    @Test(
        "a purge that dies at any step leaves each job whole or none of it, and another goes on",
        arguments: [
            ("beforeCommit:1", false), ("afterCommit:1", false), ("purgePart:1", false),
            ("changeMarked:1", true), ("afterCommit:2", true), ("beforeCommit:3", true),
        ])
    func purge(point: String, isOwned: Bool) async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        defer { store.close() }
        let ran = Trace<Int>()
        let jobs = try await store.numbers("note", Array(1...20))
        // What may be claimed is marked first; nothing is, where nobody owns the queue.
        @Sendable func die() async throws {
            let child = try Child(["purge", directory.store, "5"], crashAt: point)
            try await expectEqual(child.end(), .exit(9))
            expectSound(store)
        }
        if isOwned {
            try await store.pause(queue: "default")
            try await makeRunner(store, [note(ran)]).run {
                try await die()
                try await store.resume(queue: "default")
            }
            expectSound(store)
        } else {
            try await die()
        }
        var rest = JobFilter()
        rest.after = JobID(rawValue: 5)
        try await store.purge(rest)
        expectSound(store)
        expectEqual(try store.jobs().map { $0.id }, jobs[..<5].map { $0.id })
        try await makeRunner(store, [note(ran)]).run {}
        #expect(ran.items == Array(1...5))
    }
}
