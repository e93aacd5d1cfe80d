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

    @Test("columns line up in a terminal also where letters take two cells or none")
    func cells() {
        var table = TextTable([("job", .left), ("pid", .right)])
        table.add(["日本語", "1"])
        table.add(["e\u{301}te\u{301}", "22"])
        #expect(
            table.lines(fitting: nil) == [
                "job     pid", "日本語    1", "e\u{301}te\u{301}      22",
            ])
        table.add([String(repeating: "語", count: 20), "3"])
        let last = table.lines(fitting: 18).last
        #expect(last == "語語語語語語…    3")
    }

    @Test("a table that is taken in parts never becomes narrower")
    func parts() {
        var table = TextTable([("job", .left), ("pid", .right)])
        table.add(["a/long/name", "1"])
        #expect(table.takeLines() == ["job          pid", "a/long/name    1"])
        table.add(["b", "2"])
        #expect(table.takeLines() == ["b              2"])
        #expect(table.takeLines() == [])
        table.add(["c", "12345"])
        #expect(table.takeLines() == ["c            12345"])
    }
}
