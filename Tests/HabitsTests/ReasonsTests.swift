import Testing

@Suite("Reasons") struct ReasonsTests {
    @Test(
        "a comment on the line, or up to three lines above it, is a reason",
        arguments: [
            "word.load(ordering: .relaxed)  // Only a hint.",
            "// Only a hint.\nword.load(ordering: .relaxed)",
            "// Only a hint.\nlet seen = word.load(\n    ordering: .acquiring)",
            "// Both are hints.\na.load(ordering: .relaxed)\nb.load(ordering: .relaxed)",
            "// None is read by others.\n"
                + String(repeating: "x.load(ordering: .relaxed)\n", count: 6),
        ])
    func accepts(text: String) {
        #expect(Reasons.missing(in: text.split(separator: "\n")) == [])
    }

    @Test(
        "what has no comment near it is found, by its line",
        arguments: [
            ("word.load(ordering: .relaxed)", 0),
            ("// Far.\n\n\n\nlet value = try? read()", 4),
            ("let link = \"https://swift.org\"; let value = try? read()", 0),
            ("final class Counts: @unchecked Sendable {", 0),
            ("nonisolated(unsafe) var count = 0", 0),
            ("let bits = unsafeBitCast(value, to: UInt.self)", 0),
        ])
    func finds(text: String, index: Int) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(Reasons.missing(in: lines) == [index])
    }

    @Test(
        "words in quotes and comments, and longer words, need no reason",
        arguments: [
            "print(\"try? is spelled so\")", "/// Unlike `try?`, this throws.",
            "case .relaxedDurability:", "func first() -> Entry? {",
        ])
    func ignores(text: String) {
        #expect(Reasons.missing(in: [Substring(text)]) == [])
    }
}
