import Petiole

extension StoreLocation {
    /// Says so, with the next step, when nothing runs the queue that jobs of a schedule go to.
    func sayWhenNothingRuns(_ schedule: ScheduleStatus, _ store: JobStore) throws {
        let name = visible(schedule.queue)
        guard let queue = try store.queues().first(where: { $0.name == schedule.queue }) else {
            return
        }
        let place = self.store.map { " --store \(Command.quoted(Arguments.bytes(of: $0)))" } ?? ""
        if queue.isPaused {
            say(
                """
                the queue "\(name)" is paused: no job of the schedule runs until it goes on
                let it go on with: petiole resume \(name)\(place)
                """)
        } else if queue.ownerPID == nil {
            let option = schedule.queue == CommandQueue.standard ? "" : " --queue \(name)"
            let step =
                schedule.job == CommandJob.name
                ? "start one with: petiole worker\(option)\(place)"
                : schedule.program.map { "start the program \"\(visible($0))\"" }
                    ?? "start the program that runs \(visible(schedule.job))"
            say(
                """
                no process runs the queue "\(name)" now: no job of the schedule runs until one does
                \(step)
                """)
        }
    }
}
