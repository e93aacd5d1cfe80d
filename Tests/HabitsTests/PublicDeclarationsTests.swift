import Testing

@Suite("Public declarations") struct PublicDeclarationsTests {
    @Test(
        "a public declaration without a doc comment is found",
        arguments: [
            "public struct Job {", "    public var id: JobID", "    public static func make() {",
            "    static public func make() {", "@inlinable public func push() {",
            "// A comment of another kind.\npublic enum State {",
            "    public private(set) var count = 0", "open class Store {",
        ])
    func finds(text: String) {
        #expect(PublicDeclarations.undocumented(in: text.split(separator: "\n")).count == 1)
    }

    @Test(
        "documented declarations, imports, extensions and other words are not found",
        arguments: [
            "/// One job.\npublic struct Job {", "/// Fast.\n@inlinable\npublic func push() {",
            "public import Logging", "public extension Job {", "let publicName = 1",
            "/// It is public knowledge.", "opened.close()",
        ])
    func ignores(text: String) {
        #expect(PublicDeclarations.undocumented(in: text.split(separator: "\n")) == [])
    }
}
