/* The guard: a module that PostgreSQL loads (shared_preload_libraries), and that refuses to commit
 * once the soft deadline on the fence's page has passed.
 *
 * The fence asks for a fast shutdown at that moment, and kills at the deadline. In between, and
 * where the fence is late, sessions go on; with the guard none of them begins a commit any more
 * (docs/consensus.md, "The guard"). It looks when everything of a transaction is done but its
 * commit record: an error there is an ordinary rollback, and the client knows that nothing was
 * stored. What has passed that look is not called back: it may write its record, and answer, later.
 *
 * Besides it reports what PostgreSQL says to the session alone, or without saying which: commits
 * whose wait for synchronous replication was cancelled. They are in force here, and no standby need
 * have them.
 *
 * PostgreSQL 13 to 17; tried with 15 and 17. */
#include <postgres.h>

#include <access/transam.h>
#include <access/xact.h>
#include <access/xlog.h>
#include <fmgr.h>
#include <miscadmin.h>
#include <nodes/parsenodes.h>
#include <tcop/utility.h>

#include "pgctl/guard/guard_page.h"

#define WHY_BYTES 256

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static bool has_page;
static emit_log_hook_type emit_log_before;
static ProcessUtility_hook_type utility_before;
/* Of this session: it was said that a wait is cancelled, and the commit it was for is not yet told.
 */
static bool cancelled;

/* --- refusing --------------------------------------------------------------------------------- */

/* 25006 is what a standby answers to a write: clients that look for a primary know it. */
static void refuse_if_past(void)
{
    if (!has_page) {
        return;
    }
    struct guard_look look = guard_page_look();
    switch (look.verdict) {
    case GUARD_MAY_COMMIT: return;
    case GUARD_UNREADABLE:
        ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                        errmsg("pgquorum_guard: the commit is refused: the fence's page cannot be "
                               "read"),
                        errhint("Nothing was stored. Try again.")));
        return;
    case GUARD_PAST: break;
    }
    ereport(ERROR,
            (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
             errmsg("pgquorum_guard: the commit is refused: the lease of this primary is running "
                    "out"),
             look.late_ms < 0
                 ? errdetail("Epoch %llx:%lld is over.", (unsigned long long)look.cluster,
                             (long long)look.revision)
                 : errdetail("The soft deadline of epoch %llx:%lld passed %lld ms ago.",
                             (unsigned long long)look.cluster, (long long)look.revision,
                             (long long)look.late_ms),
             errhint("Nothing was stored. Connect again: another member may be the primary.")));
}

/* --- cancelled waits -------------------------------------------------------------------------- */

/* PostgreSQL's own two messages (SyncRepWaitForLSN), by what they are called before translation. It
 * offers no other sign. */
static bool is_cancelled_wait(const ErrorData *said)
{
    static const char *const messages[] = {
        "canceling wait for synchronous replication due to user request",
        "canceling the wait for synchronous replication and terminating connection due to "
        "administrator command",
    };
    if (said->elevel != WARNING || said->message_id == NULL) {
        return false;
    }
    for (size_t i = 0; i < lengthof(messages); i++) {
        if (strcmp(said->message_id, messages[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void on_log(ErrorData *said)
{
    cancelled = cancelled || is_cancelled_wait(said);
    if (emit_log_before != NULL) {
        emit_log_before(said);
    }
}

static void report_cancelled(const char *what, TransactionId xid)
{
    if (!cancelled) {
        return;
    }
    cancelled = false;
    ereport(LOG, (errmsg("pgquorum_guard: %s without the synchronous standbys: the wait for them "
                         "was cancelled",
                         what),
                  TransactionIdIsValid(xid)
                      ? errdetail("Transaction %u: it is in force here, and is lost if a standby "
                                  "that has not received it is promoted.",
                                  xid)
                      : errdetail("It is in force here, and is lost if a standby that has not "
                                  "received it is promoted."),
                  errhidestmt(true)));
}

/* --- where PostgreSQL calls ------------------------------------------------------------------- */

static void on_transaction(XactEvent event, void *arg)
{
    switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
        cancelled = false;
        if (TransactionIdIsValid(GetTopTransactionIdIfAny())) { /* else it has written nothing */
            refuse_if_past();
        }
        break;
    case XACT_EVENT_COMMIT:
        report_cancelled("a transaction was committed", GetTopTransactionIdIfAny());
        break;
    case XACT_EVENT_PREPARE:
        report_cancelled("a transaction was prepared", GetTopTransactionIdIfAny());
        break;
    case XACT_EVENT_PARALLEL_PRE_COMMIT: /* a worker's end writes no record: its leader's does */
    case XACT_EVENT_PARALLEL_COMMIT:
    case XACT_EVENT_PARALLEL_ABORT:
    case XACT_EVENT_ABORT: break;
    }
}

/* The end of a prepared transaction is no event of the session's own transaction, which has written
 * nothing by itself. */
static bool ends_prepared(const PlannedStmt *planned)
{
    const Node *statement = planned->utilityStmt;
    if (!IsA(statement, TransactionStmt)) {
        return false;
    }
    TransactionStmtKind kind = ((const TransactionStmt *)statement)->kind;
    return kind == TRANS_STMT_COMMIT_PREPARED || kind == TRANS_STMT_ROLLBACK_PREPARED;
}

#if PG_VERSION_NUM >= 140000 /* PostgreSQL 14 tells whose the tree is */
#define TREE_PARAMETER bool read_only_tree,
#define TREE_ARGUMENT  read_only_tree,
#else
#define TREE_PARAMETER
#define TREE_ARGUMENT
#endif

static void on_utility(PlannedStmt *planned, const char *text,
                       TREE_PARAMETER ProcessUtilityContext context, ParamListInfo parameters,
                       QueryEnvironment *environment, DestReceiver *receiver,
                       QueryCompletion *completion)
{
    bool ends = ends_prepared(planned);
    ProcessUtility_hook_type next =
        utility_before != NULL ? utility_before : standard_ProcessUtility;

    if (ends) {
        cancelled = false;
        refuse_if_past();
    }
    next(planned, text, TREE_ARGUMENT context, parameters, environment, receiver, completion);
    if (ends) {
        report_cancelled("a prepared transaction was ended", InvalidTransactionId);
    }
}

/* --- load ------------------------------------------------------------------------------------- */

static void open_page(void)
{
    const char *fd_text = getenv(guard_page_variable);
    char why[WHY_BYTES] = "it is not in the environment";

    has_page = fd_text != NULL && guard_page_open(fd_text, why, sizeof why);
    if (has_page) {
        ereport(LOG, (errmsg("pgquorum_guard: commits are refused once the soft deadline of the "
                             "primary's lease has passed")));
        return;
    }
    ereport(WARNING,
            (errmsg("pgquorum_guard: no commit will be refused: the fence's page is not here: %s: "
                    "%s",
                    guard_page_variable, why),
             errhint("Only a server that pgquorum has started has the page; where it has, agent "
                     "and guard are to be of one release.")));
}

void _PG_init(void)
{
    if (!process_shared_preload_libraries_in_progress) {
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("pgquorum_guard has to be loaded by shared_preload_libraries"),
                        errhint("Set postgresql.guard: true, and restart PostgreSQL.")));
    }
    if (IsPostmasterEnvironment) { /* not for a single user, who has the directory to himself */
        open_page();
    }
    RegisterXactCallback(on_transaction, NULL);
    emit_log_before = emit_log_hook;
    emit_log_hook = on_log;
    utility_before = ProcessUtility_hook;
    ProcessUtility_hook = on_utility;
}
