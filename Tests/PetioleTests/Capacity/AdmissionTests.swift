import Testing

@testable import Petiole

@Suite("Admission") struct AdmissionTests {
    private let policies: [CapacityRecord.WhenFull] = [.refuse, .wait(5_000), .dropOldest]

    private func capacity(
        _ jobs: UInt64, _ bytes: UInt64, _ whenFull: CapacityRecord.WhenFull
    ) -> CapacityRecord {
        var capacity = CapacityRecord()
        capacity.jobs = jobs
        capacity.bytes = bytes
        capacity.whenFull = whenFull
        return capacity
    }

    @Test("in every small world, what fits is accepted and what does not is dealt with as chosen")
    func everySmallWorld() {
        for limit in [0, 1, 2, 3] as [UInt64] {
            for byteLimit in [0, 1, 4] as [UInt64] {
                for held in 0...4 as ClosedRange<UInt64> {
                    for heldBytes in [0, 3, 5] as [UInt64] {
                        for added in 1...4 as ClosedRange<UInt64> {
                            for addedBytes in [0, 1, 2, 5] as [UInt64] {
                                check(
                                    JobLoad(jobs: limit, bytes: byteLimit),
                                    JobLoad(jobs: held, bytes: heldBytes),
                                    JobLoad(jobs: added, bytes: addedBytes))
                            }
                        }
                    }
                }
            }
        }
    }

    private func check(_ limit: JobLoad, _ held: JobLoad, _ added: JobLoad) {
        let jobsFit = limit.jobs == 0 || held.jobs + added.jobs <= limit.jobs
        let bytesFit =
            limit.bytes == 0 || added.bytes == 0 || held.bytes + added.bytes <= limit.bytes
        let isTooLarge =
            limit.jobs > 0 && added.jobs > limit.jobs
            || limit.bytes > 0 && added.bytes > limit.bytes
        for own in policies.map(Optional.some) + [nil] {
            for policy in policies {
                let admission = Admission.of(
                    added, held: held, capacity: capacity(limit.jobs, limit.bytes, policy),
                    whenFull: own)
                switch admission {
                case .accept: #expect(jobsFit && bytesFit)
                case .refuse(let reached):
                    #expect(!jobsFit || !bytesFit)
                    #expect(isTooLarge || (own ?? policy) == .refuse)
                    #expect(reached.held + reached.added > reached.limit)
                    // Nothing helps what is too large on its own, and it is told so.
                    if isTooLarge { #expect(reached.added > reached.limit) }
                case .wait(let time, let reached):
                    #expect(!isTooLarge && own ?? policy == .wait(5_000) && time == 5_000)
                    #expect(reached.held + reached.added > reached.limit)
                case .drop(let wanted):
                    #expect(!isTooLarge && own ?? policy == .dropOldest)
                    #expect(wanted != JobLoad())
                    // When so much is gone there is room, and not before.
                    let left = JobLoad(
                        jobs: held.jobs - wanted.jobs, bytes: held.bytes - wanted.bytes)
                    let after = Admission.of(
                        added, held: left, capacity: capacity(limit.jobs, limit.bytes, policy),
                        whenFull: own)
                    #expect(after == .accept)
                }
            }
        }
    }

    @Test("of a queue's and the store's capacity the sterner one holds")
    func both() {
        let reached = CapacityRecord.Reached(isJobs: true, held: 1, added: 1, limit: 1)
        let all: [Admission] = [
            .accept, .drop(JobLoad(jobs: 1, bytes: 9)), .drop(JobLoad(jobs: 3, bytes: 2)),
            .wait(4, reached), .refuse(reached),
        ]
        func rank(_ admission: Admission) -> Int {
            switch admission {
            case .accept: 0
            case .drop: 1
            case .wait: 2
            case .refuse: 3
            }
        }
        for one in all {
            for two in all {
                #expect(rank(one.and(two)) == max(rank(one), rank(two)))
            }
        }
        #expect(all[1].and(all[2]) == .drop(JobLoad(jobs: 3, bytes: 9)))
    }

    @Test("a capacity is read as it was written")
    func record() {
        for policy in policies + [.wait(0)] {
            let capacity = capacity(7, 1 << 40, policy)
            var bytes = [UInt8](repeating: 0xAA, count: 16 + CapacityRecord.size)
            bytes.withUnsafeMutableBytes { capacity.write(to: $0.baseAddress!, at: 16) }
            #expect(bytes.withUnsafeBytes { CapacityRecord($0, at: 16) } == capacity)
            #expect(Capacity(capacity)?.record == capacity)
        }
        #expect(Capacity(CapacityRecord()) == nil)
    }

    @Test(
        "a capacity out of bounds is refused with what is allowed",
        arguments: [
            Capacity(), Capacity(jobs: 0), Capacity(bytes: -1),
            Capacity(jobs: 1, whenFull: .wait(upTo: .zero)),
        ])
    func bounds(capacity: Capacity) async throws {
        try await withStore { store in
            let error = await #expect(throws: StoreError.self) {
                try await store.setCapacity(capacity, queue: "default")
            }
            #expect("\(error!)".contains("allowed") || "\(error!)".contains("takes one away"))
            await #expect(throws: StoreError.self) {
                try await store.setCapacity(Capacity(jobs: 1), queue: "no queue")
            }
            await #expect(throws: EnqueueError.self) {
                try await store.numbers(
                    "echo", [1], options: EnqueueOptions(whenFull: .wait(upTo: .zero)))
            }
            try expectEqual(store.capacity(queue: "default"), nil)
        }
    }
}
