import Foundation
import MinuteSearch
import PetioleStorage
import PetioleTesting
import Synchronization
import Testing

@testable import Petiole

@Suite("Ten years of schedules") struct TenYearsTests {
    /// 2010-01-01 to 2020-01-01, in minutes since 1970.
    private static let years: Range<Int64> = 21_038_400..<26_297_280

    /// The offsets of a zone in minutes, and from when on each is shown.
    private struct Clocks {
        var starts: [Int64] = [0]
        var offsets: [Int64]

        init(_ name: String) throws {
            let zone = try #require(TimeZone(identifier: name))
            var date = Date(
                timeIntervalSince1970: Double(TenYearsTests.years.lowerBound - 100_000) * 60)
            offsets = [Int64(zone.secondsFromGMT(for: date) / 60)]
            while let next = zone.nextDaylightSavingTimeTransition(after: date),
                next.timeIntervalSince1970 < Double(TenYearsTests.years.upperBound) * 60
            {
                starts.append(Int64(next.timeIntervalSince1970) / 60)
                offsets.append(Int64(zone.secondsFromGMT(for: next) / 60))
                date = next
            }
        }

        /// The planned times of a rule in some minutes, in minutes; `limit` at most, of as many as there are.
        func planned(
            _ drawn: DrawnRule, in range: Range<Int64> = TenYearsTests.years, limit: Int
        ) -> (times: [Int64], count: Int) {
            var rule = minute_rule()
            func fill<Field>(_ field: inout Field, _ met: [Bool]) {
                withUnsafeMutableBytes(of: &field) { bytes in
                    for index in bytes.indices { bytes[index] = met[index] ? 1 : 0 }
                }
            }
            fill(&rule.minute, drawn.minute)
            fill(&rule.hour, drawn.hour)
            fill(&rule.day, drawn.day)
            fill(&rule.month, drawn.month)
            fill(&rule.weekday, drawn.weekday)
            rule.either =
                !drawn.isDayStar && !drawn.isWeekdayStar && drawn.days == .either ? 1 : 0
            rule.every_hour = drawn.isEveryHour ? 1 : 0
            var found = [Int64](repeating: 0, count: limit)
            let count = minute_search(
                &rule, starts, offsets, Int64(starts.count), range.lowerBound, range.upperBound,
                &found, Int64(limit))
            return (Array(found.prefix(Int(count))), Int(count))
        }
    }

    @Test("a hundred schedules fire for ten years when a search by minute says, each time once")
    func tenYears() async throws {
        var random = SeededRandom(2_010)
        var clocks: [String: Clocks] = [:]
        var expected: [String: [Int64]] = [:]
        let clock = TestClock(isFrozen: true)
        clock.set(to: "2009-12-31 23:59:00")
        try await withTestStore(clock: clock) { store, _ in
            while expected.count < 100 {
                let drawn = DrawnRule(&random)
                let zone = ScheduleZoneTests.names.randomElement(using: &random)!
                if clocks[zone] == nil { clocks[zone] = try Clocks(zone) }
                // Some a year; those that come each day are drawn often enough elsewhere.
                let month = Self.years.lowerBound..<Self.years.lowerBound + 43_200
                guard clocks[zone]!.planned(drawn, in: month, limit: 0).count < 30 else { continue }
                let (times, count) = clocks[zone]!.planned(drawn, limit: 1_000)
                guard (1...1_000).contains(count) else { continue }
                let name = "s\(expected.count)"
                try await store.add(
                    schedule: .note(name, .cron(drawn.text, days: drawn.days), in: zone))
                expected[name] = times
            }
            let firings = try Firings(store, clock)
            while try await firings.next(before: Self.years.upperBound * 60_000_000) {}
            var fired: [String: [Int64]] = [:]
            for run in try store.plannedRuns() {
                fired[run.schedule, default: []].append(run.time / 60_000_000)
            }
            for (name, times) in expected {
                let rule = try store.schedule(named: name)
                #expect(
                    fired[name] == times, "\(name) \(rule.rule) in \(rule.zone)")
                #expect(rule.firedCount == times.count && rule.missedCount == 0)
            }
            #expect(expected.values.reduce(0) { $0 + $1.count } > 10_000)
        }
    }
}

/// Fires the schedules of a store one due time after the other, without running their jobs.
struct Firings {
    let store: JobStore
    let clock: TestClock
    private let queue: OwnedQueue

    init(_ store: JobStore, _ clock: TestClock) throws {
        self.store = store
        self.clock = clock
        let row = try #require(try store.queueRows().first { $0.name == "default" })
        queue = OwnedQueue(
            name: row.name, id: row.record.id, epoch: row.record.epoch, path: store.path
        ) {
            Issue.record("\($0)")
        }
    }

    /// Lets time go by until the next schedule is due, and fires all that are. False: none is due before.
    func next(before end: Int64) async throws -> Bool {
        let tables = store.open.tables
        let queue = queue
        let due = try store.open.read { (reader) throws(StorageError) in
            try ScheduleRows.firstDue(in: queue.id, reader, tables)
        }
        guard let due, due < end else { return false }
        clock.advance(.microseconds(max(0, due - clock.now.microseconds)))
        let error: StorageError? = await withUnsafeContinuation { continuation in
            store.open.writer.submit(
                ScheduleFiring([queue], ScheduleFiring.Scope(), ownRules: [:]) { _, error in
                    continuation.resume(returning: error)
                })
        }
        #expect(error == nil)
        return error == nil
    }
}
