import Testing

@Suite("petiole schedule", .ownThreads) struct ScheduleCommandTests {
    private let tool = Tool()

    @Test("preview prints the rule in words and its coming times, without a store")
    func preview() throws {
        let end = try tool.run(
            "schedule", "preview", "30 2 * * *", "--zone", "Europe/Berlin", "--from",
            "2026-03-28T00:00Z", "--count", "3")
        #expect(end.status == 0)
        #expect(
            end.output == """
                at 02:30 every day, Europe/Berlin
                Sat 2026-03-28 02:30:00 +01:00
                Sun 2026-03-29 03:00:00 +02:00
                Mon 2026-03-30 02:30:00 +02:00

                """)
        let json = try tool.run(
            "schedule", "preview", "@every 90m", "--zone", "Asia/Kathmandu", "--from",
            "2026-01-01Z",
            "--count", "2", "--json")
        #expect(
            json.output == """
                {"v":1,"planned":"2026-01-01T00:15:00.000000Z","local":"2026-01-01T06:00:00+05:45"}
                {"v":1,"planned":"2026-01-01T01:45:00.000000Z","local":"2026-01-01T07:30:00+05:45"}

                """)
        #expect(!tool.exists(".petiole"))
    }

    @Test("a rule that cannot be read is shown with a mark below the character")
    func unreadable() throws {
        let end = try tool.run("schedule", "preview", "*/5 0 * 13 *")
        #expect(end.status == 64)
        #expect(
            end.errorOutput == """
                petiole: the rule cannot be read:
                         */5 0 * 13 *
                                 ^ a month is 1 to 12 or jan to dec

                """)
        for rule in ["@every", "@every 0s", "@every 5x", "0 0 30 2 *", ""] {
            let end = try tool.run("schedule", "preview", rule)
            #expect(end.status == 64 && !end.errorOutput.isEmpty && end.output.isEmpty, "\(rule)")
        }
        let zone = try tool.run("schedule", "preview", "@daily", "--zone", "Europe/Nowhere")
        #expect(
            zone.status == 64 && zone.errorOutput.contains("the system has no zone of that name"))
        #expect(try tool.run("schedule", "preview", "@daily", "--count", "0").status == 64)
    }
}
