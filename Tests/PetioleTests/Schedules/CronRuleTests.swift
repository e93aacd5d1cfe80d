import Testing

@testable import Petiole

@Suite("Rules of cron") struct CronRuleTests {
    @Test(
        "what Vixie's cron and Celery read is read",
        arguments: [
            ("*/15 3 1,15 jan-mar mon", [[0, 15, 30, 45], [3], [1, 15], [1, 2, 3], [1]]),
            (
                "5-20/5 22-2 * * fri-mon",
                [[5, 10, 15, 20], [0, 1, 2, 22, 23], nil, nil, [0, 1, 5, 6]]
            ),
            ("1,2-4,10/20 * * * 7", [[1, 2, 3, 4, 10, 30, 50], nil, nil, nil, [0]]),
            (
                "0 0 28-2 NOV-FEB 5-7",
                [[0], [0], [1, 2, 28, 29, 30, 31], [1, 2, 11, 12], [0, 5, 6]]
            ),
            ("*/90 */23 */31 */12 */6", [[0], [0, 23], [1], [1], [0, 6]]),
            ("0-59/30 0-23 1-31 1-12 0-7", [[0, 30], nil, nil, nil, nil]),
            ("@hourly", [[0], nil, nil, nil, nil]),
            ("@Yearly", [[0], [0], [1], [1], nil]),
            ("  0\t12 * *   *  ", [[0], [12], nil, nil, nil]),
        ] as [(String, [[Int]?])])
    func reads(text: String, fields: [[Int]?]) throws {
        let rule = try CronRule(text)
        let read = [rule.minute, rule.hour, rule.day, rule.month, rule.weekday]
        for (field, numbers) in zip(read, fields) {
            #expect(field.isFull == (numbers == nil), "\(field.kind)")
            if let numbers { #expect(field.list == numbers, "\(field.kind)") }
        }
        #expect(rule.second.list == [0])
    }

    @Test("a sixth field in front is for seconds when that is asked for")
    func seconds() throws {
        let rule = try CronRule("*/20 0 0 * * *", hasSeconds: true)
        #expect(rule.second.list == [0, 20, 40] && rule.minute.list == [0])
        #expect(throws: ScheduleError.self) { try CronRule("*/20 0 0 * * *") }
        #expect(throws: ScheduleError.self) { try CronRule("0 0 * * *", hasSeconds: true) }
    }

    @Test(
        "an error points at the character, and says what was expected",
        arguments: [
            ("0 24 * * *", 2, "a hour is 0 to 23"),
            ("60 * * * *", 0, "a minute is 0 to 59"),
            ("0 3 * * 8", 8, "a day of the week is 0 to 7 (0 and 7 are Sunday) or sun to sat"),
            ("0 3 0 * *", 4, "a day of the month is 1 to 31"),
            ("0 3 * foo *", 6, "a month is expected: 1 to 12 or jan to dec"),
            ("*/0 * * * *", 2, "a step of 1 or more"),
            ("1-5/x * * * *", 4, "a step of 1 or more"),
            ("1; * * * *", 1, "a comma, or a space"),
            ("1,,2 * * * *", 2, "a minute is expected"),
            ("1- * * * *", 2, "a minute is expected"),
            ("0 3 L * *", 4, "a day of the month is expected"),
            ("99999999999999999999 * * * *", 0, "a minute is 0 to 59"),
            ("0 3 *", 5, "the field of the month is missing"),
            ("", 0, "the field of the minute is missing"),
            ("0 3 * * * *", 10, "nothing more is expected"),
            ("@reboot", 1, "there is no reboot for a store"),
            ("@often", 1, "hourly, daily"),
            ("0 3 * * \u{1B}[2J", 8, "a day of the week is expected"),
        ])
    func errors(text: String, position: Int, expected: String) {
        do {
            _ = try CronRule(text)
            Issue.record("it was read")
        } catch .unreadableRule(_, let at, let said) {
            #expect(at == position)
            #expect(said.hasPrefix(expected), "\(said)")
        } catch {
            Issue.record(error)
        }
    }

    @Test("an error is shown below the rule, and steers no terminal")
    func shown() {
        let error = ScheduleError.unreadableRule("0 3 * * \u{1B}ü", at: 8, expected: "a day")
        #expect(error.description == "the rule cannot be read:\n0 3 * * ???\n        ^ a day")
    }

    @Test(
        "a rule that never comes true is refused with the reason",
        arguments: [
            ("0 0 30 2 *", "none of its months has a day 30"),
            ("0 0 31 4,6,9,11 *", "none of its months has a day 31"),
            ("0 0 30-31 feb */2", "none of its months has a day 30"),
        ])
    func never(text: String, reason: String) {
        #expect(throws: ScheduleError.neverFires(text, reason: reason)) { try CronRule(text) }
        // By its weekdays it comes, when either will do.
        #expect(throws: Never.self) { try CronRule("0 0 30 2 mon") }
        #expect(throws: ScheduleError.self) { try CronRule("0 0 30 2 mon", days: .both) }
        #expect(throws: Never.self) { try CronRule("0 0 29 2 *") }
    }

    @Test(
        "a rule is told in words",
        arguments: [
            ("0 3 * * 1-5", "at 03:00 on Monday to Friday"),
            ("0 3 * * *", "at 03:00 every day"),
            ("30 6,18 * * sat,sun", "at 06:30 and 18:30 on Saturday and Sunday"),
            ("* * * * *", "every minute"),
            ("*/15 * * * *", "every 15 minutes"),
            ("*/15 9-17 * * 1-5", "every 15 minutes from 09:00 to 17:59 on Monday to Friday"),
            ("5 * * * *", "at minute 5 of every hour"),
            ("5,7 */3 * * *", "at minutes 5 and 7 of the hours 0, 3, 6, 9, 12, 15, 18 and 21"),
            ("0 0 1 1 *", "at 00:00 on day 1 of the month in January"),
            ("0 0 13 * 5", "at 00:00 on day 13 of the month or on Friday"),
            ("0 0 */2 * 5", "at 00:00 on days"),
            (
                "0 12 1-7 jun-aug,dec *",
                "at 12:00 on days 1 to 7 of the month in June to August and December"
            ),
        ])
    func words(text: String, words: String) throws {
        let description = try CronRule(text).description
        #expect(description == words || words.hasSuffix("days") && description.hasPrefix(words))
    }

    @Test("seconds are told in words as well")
    func wordsOfSeconds() throws {
        func words(_ text: String) throws -> String {
            try CronRule(text, hasSeconds: true).description
        }
        #expect(try words("30 0 3 * * *") == "at 03:00:30 every day")
        #expect(try words("*/20 * * * * *") == "every 20 seconds")
        #expect(try words("5 * * * * *") == "at second 5 of every minute")
        #expect(try words("* * 9-17 * * 1") == "every second from 09:00 to 17:59 on Monday")
        #expect(
            try CronRule("0 0 13 * 5", days: .both).description
                == "at 00:00 on day 13 of the month that is a Friday")
    }
}
