import Testing

@testable import PetioleCLI

@Suite("Tables") struct TextTableTests {
    @Test("in a narrow terminal the widest column of text gives way, and says that it was cut")
    func narrow() {
        var table = TextTable([("queue", .left), ("pid", .right), ("job", .left)])
        table.add(["run-0123456789abcdef0123", "42", "gzip -9 logs/of/the/day.log"])
        table.add(["short", "1234567", "true"])
        #expect(
            table.lines(fitting: nil) == [
                "queue                         pid  job",
                "run-0123456789abcdef0123       42  gzip -9 logs/of/the/day.log",
                "short                     1234567  true",
            ])
        #expect(
            table.lines(fitting: 45) == [
                "queue                  pid  job",
                "run-0123456789ab…       42  gzip -9 logs/of/…",
                "short              1234567  true",
            ])
        // What cannot be cut any more is wider.
        #expect(table.lines(fitting: 10).map(\.count).max() == 12 + 2 + 7 + 2 + 12)
    }
}
