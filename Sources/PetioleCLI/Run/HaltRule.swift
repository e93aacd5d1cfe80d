import ArgumentParser
import Petiole

/// When a run is to stop although inputs are left: `soon,fail=1`, `now,done=50%`, as GNU parallel writes it.
struct HaltRule: Equatable, Sendable {
    /// What is counted.
    enum Counted: String, CaseIterable, Sendable { case fail, success, done }
    enum Bound: Equatable, Sendable {
        case number(Int)
        /// Of all that are run, when these are known and three of what is counted have come to that.
        case percent(Int)
    }
    /// Whether running commands are asked to end, or end by themselves.
    var isNow: Bool
    var counted: Counted
    var bound: Bound

    init?(_ text: String) {
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0] == "soon" || parts[0] == "now" else { return nil }
        let sides = parts[1].split(separator: "=", omittingEmptySubsequences: false)
        guard sides.count == 2, let counted = Counted(rawValue: String(sides[0])) else {
            return nil
        }
        let isPercent = sides[1].hasSuffix("%")
        guard let number = Int(isPercent ? sides[1].dropLast() : sides[1]), number >= 1,
            number <= (isPercent ? 100 : 1_000_000_000)
        else { return nil }
        isNow = parts[0] == "now"
        self.counted = counted
        bound = isPercent ? .percent(number) : .number(number)
    }

    /// Why the run is to stop; nil: it is not.
    /// - Parameters:
    ///   - failed: of those that have ended.
    ///   - total: all that are run; nil: not known yet.
    func reason(ended: Int, failed: Int, total: Int?) -> String? {
        let (count, what) =
            switch counted {
            case .fail: (failed, "failed")
            case .success: (ended - failed, "succeeded")
            case .done: (ended, "have ended")
            }
        switch bound {
        case .number(let number):
            return count >= number ? "\(counted(count)) \(what)" : nil
        case .percent(let percent):
            guard let total, count >= 3, count * 100 >= percent * total else { return nil }
            return "\(counted(count)) of \(grouped(total)) \(what)"
        }
    }

    private func counted(_ count: Int) -> String { PetioleCLI.counted(count, "command") }
}
