import ArgumentParser

/// `petiole schedule`: jobs that come by the clock.
struct ScheduleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedule",
        abstract:
            "Add schedules, show them, and change them: commands that are enqueued by the clock.",
        discussion: """
            A schedule lies in the store. Whoever runs its queue (`petiole worker`) enqueues its command at each planned \
            time, once, also after a crash; what was missed while nobody did is dealt with as --missed says. Programs \
            declare schedules of their own, which are listed, paused and run here too.

            A scheduled command finds the name of its schedule in PETIOLE_SCHEDULE and the planned time in \
            PETIOLE_PLANNED, in UTC: 2026-11-30T02:00:00Z.

            EXAMPLES
              petiole schedule preview '0 3 * * 1-5' --zone Europe/Berlin
              petiole schedule add nightly --cron '0 3 * * 1-5' -- ./backup --all
              petiole schedule list
              petiole schedule pause nightly
            """,
        subcommands: [
            ScheduleAdd.self, ScheduleList.self, ScheduleShow.self, SchedulePause.self,
            ScheduleResume.self, ScheduleRemove.self, ScheduleRunNow.self, SchedulePreview.self,
        ])
}
