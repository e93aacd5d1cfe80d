import Testing

@Suite("Habits of the tree") struct TreeTests {
    @Test("no two paths differ in case alone")
    func pathsDifferInMoreThanCase() throws {
        let paths = Tree.paths()
        try #require(paths.contains("Package.swift"))
        for (_, alike) in Dictionary(grouping: paths, by: { $0.lowercased() })
        where alike.count > 1 {
            Issue.record("\(alike[0]):1: differs in case alone from \(alike[1])")
        }
    }
}
