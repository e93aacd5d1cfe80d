import Foundation
import Testing

@testable import Petiole

@Suite("Damaged records", .timeLimit(.minutes(2))) struct DamagedRecordTests {
    @Test(
        "a job whose bytes changed on the disk is a dead letter, is not run, and its neighbours are"
    )
    func changedPayload() async throws {
        let directory = try TestDirectory()
        defer { directory.remove() }
        let store = try directory.open()
        let texts = (0..<9).map { "payload-\($0)-of-the-store" }
        for text in texts { try await store.enqueue(name: "echo", payload: text) }
        store.close()
        try change("payload-4-of", to: "payload-X-of", in: directory.store + "/data.mdb")
        let opened = try directory.open()
        let ran = Trace<String>()
        let echo = JobClosure("echo") { (text: String, _) -> String in
            ran.add(text)
            return text
        }
        try await makeRunner(opened, [echo]).run {}
        #expect(Set(ran.items) == Set(texts).subtracting([texts[4]]))
        for id in UInt64(1)...9 {
            let outcome = try #require(try opened.outcome(of: JobID(rawValue: id)))
            #expect(outcome.kind == (id == 5 ? .deadLetter : .succeeded))
            if id == 5 { #expect(outcome.failure?.type == "Damaged") }
        }
        opened.close()
    }

    /// Changes every copy of some bytes in a file.
    private func change(_ old: String, to new: String, in path: String) throws {
        var data = try Data(contentsOf: URL(fileURLWithPath: path))
        var found = 0
        while let range = data.range(of: Data(old.utf8)) {
            data.replaceSubrange(range, with: Data(new.utf8))
            found += 1
        }
        #expect(found > 0)
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
        try file.write(contentsOf: data)
        try file.close()
    }
}
