/// What may be drawn with: which characters and whether colours, as the environment says.
struct TerminalLook: Sendable, Equatable {
    /// The locale's letters are UTF-8.
    var usesUnicode = true
    /// `NO_COLOR` is not set, and the terminal has them.
    var usesColour = true
    /// It moves no cursor: lines are all that it can be given.
    var isDumb = false

    /// - Parameter variable: gives a variable of the environment.
    init(_ variable: (String) -> [UInt8]? = Surroundings.variable) {
        func text(_ name: String) -> String {
            String(decoding: variable(name) ?? [], as: UTF8.self)
        }
        // The first that is set says it.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(text).first { !$0.isEmpty } ?? ""
        let letters = locale.lowercased().filter { $0 != "-" }
        usesUnicode = letters.contains("utf8")
        isDumb = ["", "dumb"].contains(text("TERM"))
        // https://no-color.org: set to anything but nothing.
        usesColour = text("NO_COLOR").isEmpty && !isDumb
    }

    init(usesUnicode: Bool, usesColour: Bool) {
        self.usesUnicode = usesUnicode
        self.usesColour = usesColour
    }

    var full: String { usesUnicode ? "█" : "#" }
    var light: String { usesUnicode ? "░" : "." }

    /// The text in a style of SGR, where colours are used.
    func styled(_ text: String, _ style: String) -> String {
        usesColour && !text.isEmpty ? "\u{1B}[\(style)m\(text)\u{1B}[0m" : text
    }
}
