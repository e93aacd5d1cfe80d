#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include "include/CYardsticks.h"
#include "support.h"

// Group commit. A caller links its request into `pending` and sleeps on its own word; the writer takes
// the whole list, commits it in one synced transaction, then wakes each caller that it served.

struct request {
    struct request *next;
    /// 0 while the caller waits, 1 once its record is durable, 2 if the commit failed.
    uint32_t answer;
};

struct committer {
    MDB_env *env;
    MDB_dbi log;
    const char *bytes;
    size_t payload;
    uint64_t next_id;
    struct request *pending;
    /// 1 while the writer sleeps, or is about to.
    uint32_t asleep;
    /// Requests still to be served; the writer ends at zero.
    size_t left;
    int code;
};

struct caller {
    struct committer *committer;
    uint64_t *nanoseconds;
    size_t rounds;
    int code;
};

static void submit(struct committer *committer, struct request *request) {
    struct request *head = __atomic_load_n(&committer->pending, __ATOMIC_RELAXED);
    do {
        request->next = head;
        // Sequentially consistent, as is the writer's announcement that it sleeps: of the two, push and
        // announcement, one comes first, and whoever comes second sees it.
    } while (!__atomic_compare_exchange_n(&committer->pending, &head, request, 1, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));
    if (__atomic_load_n(&committer->asleep, __ATOMIC_SEQ_CST)
        && __atomic_exchange_n(&committer->asleep, 0, __ATOMIC_SEQ_CST))
        wake_one(&committer->asleep);
}

static void *call(void *argument) {
    struct caller *caller = argument;
    for (size_t round = 0; round < caller->rounds; round++) {
        struct request request = {NULL, 0};
        uint64_t start = now_nanoseconds();
        submit(caller->committer, &request);
        uint32_t answer;
        while ((answer = __atomic_load_n(&request.answer, __ATOMIC_ACQUIRE)) == 0)
            wait_while(&request.answer, 0);
        caller->nanoseconds[round] = now_nanoseconds() - start;
        if (answer != 1) caller->code = EIO;
    }
    return NULL;
}

static struct request *take(struct committer *committer) {
    for (;;) {
        struct request *head = __atomic_exchange_n(&committer->pending, NULL, __ATOMIC_SEQ_CST);
        if (head) return head;
        __atomic_store_n(&committer->asleep, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&committer->pending, __ATOMIC_SEQ_CST) == NULL)
            wait_while(&committer->asleep, 1);
        __atomic_store_n(&committer->asleep, 0, __ATOMIC_SEQ_CST);
    }
}

static int commit_all(struct committer *committer, struct request *head) {
    MDB_txn *txn;
    MDB_cursor *cursor;
    int code = mdb_txn_begin(committer->env, NULL, 0, &txn);
    if (code) return code;
    code = mdb_cursor_open(txn, committer->log, &cursor);
    if (code == 0) {
        for (struct request *each = head; code == 0 && each; each = each->next)
            code = append_record(cursor, committer->next_id++, committer->bytes, committer->payload);
        mdb_cursor_close(cursor);
    }
    if (code) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static void *write_all(void *argument) {
    struct committer *committer = argument;
    while (committer->left) {
        struct request *head = take(committer);
        // After an error nothing more is written; every caller still gets its answer.
        int code = committer->code ? committer->code : commit_all(committer, head);
        committer->code = code;
        while (head) {
            // Read before the answer: the request lies on its caller's stack and is gone after it.
            // The wake goes to the address alone; at worst it wakes a later sleeper there for no reason.
            struct request *next = head->next;
            uint32_t *answer = &head->answer;
            __atomic_store_n(answer, code ? 2 : 1, __ATOMIC_RELEASE);
            wake_one(answer);
            committer->left--;
            head = next;
        }
    }
    return NULL;
}

/// Runs writer and callers to their end. A thread that cannot be started ends the program: there is
/// no one to answer those that already wait.
static int run_callers(struct committer *committer, struct caller *callers, size_t count) {
    pthread_t writer;
    pthread_t *threads = calloc(count, sizeof *threads);
    if (threads == NULL) return ENOMEM;
    if (pthread_create(&writer, NULL, write_all, committer)) abort();
    for (size_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, call, &callers[i])) abort();
    int code = 0;
    for (size_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        if (callers[i].code) code = callers[i].code;
    }
    pthread_join(writer, NULL);
    free(threads);
    return committer->code ? committer->code : code;
}

int group_commit(const char *folder, size_t callers, size_t rounds, size_t payload,
                 struct loop_cost *cost, uint64_t *nanoseconds) {
    struct committer committer = {.payload = payload, .left = callers * rounds};
    int code = make_environment(folder, 0, &committer.env);
    if (code) return code;
    char *bytes = calloc(1, payload);
    struct caller *each = calloc(callers, sizeof *each);
    if (bytes == NULL || each == NULL) code = ENOMEM;
    if (code == 0) code = make_log(committer.env, "jobs", &committer.log);
    if (code == 0) {
        committer.bytes = bytes;
        for (size_t i = 0; i < callers; i++) {
            each[i].committer = &committer;
            each[i].nanoseconds = nanoseconds + i * rounds;
            each[i].rounds = rounds;
        }
        double cpu = cpu_seconds();
        uint64_t start = now_nanoseconds();
        code = run_callers(&committer, each, callers);
        cost->seconds = (double)(now_nanoseconds() - start) * 1e-9;
        cost->cpu_seconds = cpu_seconds() - cpu;
    }
    free(each);
    free(bytes);
    mdb_env_close(committer.env);
    return code;
}

// The bare wake. One thread stamps the time and wakes the other, which is asleep by then.

struct wake {
    uint32_t word;
    uint32_t answered;
    size_t count;
    uint64_t stamp;
    uint64_t *nanoseconds;
};

static void *sleep_and_note(void *argument) {
    struct wake *wake = argument;
    for (size_t i = 0; i < wake->count; i++) {
        while (__atomic_load_n(&wake->word, __ATOMIC_ACQUIRE) == (uint32_t)i) wait_while(&wake->word, (uint32_t)i);
        wake->nanoseconds[i] = now_nanoseconds() - wake->stamp;
        __atomic_store_n(&wake->answered, (uint32_t)i + 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

int wake_latency(size_t count, uint64_t *nanoseconds, uint64_t *calls) {
    struct wake wake = {.count = count, .nanoseconds = nanoseconds};
    pthread_t sleeper;
    int code = pthread_create(&sleeper, NULL, sleep_and_note, &wake);
    if (code) return code;
    for (size_t i = 0; i < count; i++) {
        // Time enough for the other to fall asleep, and for its core to.
        const struct timespec pause = {0, 1000000};
        while (__atomic_load_n(&wake.answered, __ATOMIC_ACQUIRE) != (uint32_t)i) nanosleep(&pause, NULL);
        nanosleep(&pause, NULL);
        wake.stamp = now_nanoseconds();
        __atomic_store_n(&wake.word, (uint32_t)i + 1, __ATOMIC_RELEASE);
        uint64_t before = now_nanoseconds();
        wake_one(&wake.word);
        calls[i] = now_nanoseconds() - before;
    }
    pthread_join(sleeper, NULL);
    return 0;
}
