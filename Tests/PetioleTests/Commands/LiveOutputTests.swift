import Testing

@testable import Petiole

#if canImport(Darwin)
    import Darwin
#else
    import Glibc
#endif

@Suite("Outputs that are read while they are written") struct LiveOutputTests {
    private func capture(_ scratch: ScratchDirectory, memory: Int = 8) -> OutputCapture {
        OutputCapture(
            limits: CaptureLimits(
                memoryBound: memory,
                spill: SpillPlace(directory: Array(scratch.path.utf8), name: "7-1")),
            suffix: "out")
    }

    private func take(_ text: String, _ capture: inout OutputCapture) {
        Array(text.utf8).withUnsafeBytes { _ = capture.take($0) }
    }

    @Test("what fits in memory is in a file while it is shown, and in the outcome alone in the end")
    func shown() throws {
        let scratch = try ScratchDirectory()
        var capture = capture(scratch)
        take("12", &capture)
        #expect(capture.fileNumber == nil && scratch.names == [])
        capture.show()
        #expect(capture.fileNumber == 0)
        #expect(try scratch.bytes("7-1.out") == Array("12".utf8))
        take("345", &capture)
        capture.show()
        #expect(try scratch.bytes("7-1.out") == Array("12345".utf8))
        #expect(capture.finish() == .inline(Array("12345".utf8)))
        #expect(scratch.names == [])
    }

    @Test("what does not fit stays in the same file")
    func spilled() throws {
        let scratch = try ScratchDirectory()
        var capture = capture(scratch)
        capture.show()
        take("12345", &capture)
        take("67890", &capture)
        #expect(capture.finish() == .spilled(name: "7-1.out", byteCount: 10))
        #expect(try scratch.bytes("7-1.out") == Array("1234567890".utf8))
    }

    @Test("a file that is there already is another one's, and the number tells which is ours")
    func number() throws {
        let scratch = try ScratchDirectory()
        var first = capture(scratch)
        first.show()
        var second = capture(scratch)
        second.show()
        #expect(first.fileNumber == 0 && second.fileNumber == 1)
        take("a", &second)
        #expect(try scratch.bytes("7-1.out.1") == Array("a".utf8))
        _ = first.finish()
        _ = second.finish()
    }

    @Test("where no file can be made nothing of the output is lost")
    func nowhere() throws {
        var capture = OutputCapture(
            limits: CaptureLimits(
                memoryBound: 4, spill: SpillPlace(directory: Array("/no/such".utf8), name: "a")),
            suffix: "out")
        take("1", &capture)
        capture.show()
        #expect(capture.fileNumber == nil)
        take("23", &capture)
        #expect(capture.finish() == .inline(Array("123".utf8)))
    }

    #if os(Linux)
        @Test("a disk that fills up while an output is shown costs nothing that fits in memory")
        func fullDisk() throws {
            let scratch = try ScratchDirectory()
            // Each write to /dev/full says that the disk is full.
            let full = open("/dev/full", O_WRONLY | O_CLOEXEC)
            let directory = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            var capture = OutputCapture(
                limits: CaptureLimits(memoryBound: 4), suffix: "out", spillingInto: full,
                directory: directory, isShown: true)
            take("12", &capture)
            #expect(capture.fileNumber == nil)
            take("34", &capture)
            #expect(capture.finish() == .inline(Array("1234".utf8)))
        }
    #endif

    @Test(
        "places of followers are taken, given back, and taken from the dead and from jobs that ended"
    )
    func entries() async throws {
        try await withStore { store in
            let slots = store.open.slots
            var taken: [FollowEntry] = []
            for job in 1...RunningSlots.followEntryCount {
                taken.append(
                    try #require(slots.takeFollowEntry(for: UInt64(job), hasEnded: { _ in false })))
            }
            expectEqual(slots.followedJobs.count, RunningSlots.followEntryCount)
            expectEqual(slots.takeFollowEntry(for: 99, hasEnded: { _ in false }) == nil, true)
            let again = slots.takeFollowEntry(for: 99, hasEnded: { $0 == 7 })
            expectEqual(again?.job, 99)
            expectEqual(slots.isFollowed(7), false)
            taken[0].free(ownedBy: getpid())
            expectEqual(slots.isFollowed(1), false)
            let place = FollowEntry.Place(attempt: 300, output: 999, errorOutput: nil)
            slots.tellFollowers(of: 2, place)
            expectEqual(taken[1].place, place)
            expectEqual(taken[1].ringCount, 1)
            expectEqual(taken[2].place, nil)
            for entry in taken { entry.free(ownedBy: getpid()) }
            expectEqual(slots.followedJobs, [])
        }
    }
}
