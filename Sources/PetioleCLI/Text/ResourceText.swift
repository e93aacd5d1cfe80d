import Petiole

/// Named resources as they are written: `gpu=1,disk=2`.
enum ResourceText {
    /// Nil: it is none. Each name stands once, with 1 to ``JobStore/mostOfResource`` of it.
    static func needs(_ text: String) -> [ResourceNeed]? {
        var needs: [ResourceNeed] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let (name, count) = pair(part), count >= 1,
                !needs.contains(where: { $0.name == name })
            else { return nil }
            needs.append(ResourceNeed(name: name, count: count))
        }
        return needs
    }

    /// A name and how many there are, 0 included.
    static func pair(_ text: some StringProtocol) -> (name: String, count: Int)? {
        let sides = text.split(separator: "=", omittingEmptySubsequences: false)
        guard sides.count == 2, NameForm.isValid(String(sides[0])), let count = Int(sides[1]),
            (0...JobStore.mostOfResource).contains(count)
        else { return nil }
        return (String(sides[0]), count)
    }
}
