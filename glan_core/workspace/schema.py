"""Database schema as a list of migrations: entry n migrates version n to n + 1.

Released entries are never edited; a schema change is a new entry. Content tables (nodes to answers) have no times and no run
ids, so that two workspaces made with the same seed and teacher have equal rows. Times, settings and costs are in `calls`,
which joins by `work_id`, the id of the record that the call was for.
"""

import apsw

APPLICATION_ID = 0x474C414E  # "GLAN" in the file header


def version_1(db: apsw.Connection) -> None:
    """Create the tables of taxonomy, curriculum, homework, calls and runs."""
    db.execute("""
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE prompts (version TEXT PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE nodes (
        id TEXT PRIMARY KEY, parent_id TEXT, position REAL NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
        grp TEXT, description TEXT NOT NULL, removed INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE node_events (
        seq INTEGER PRIMARY KEY, batch TEXT NOT NULL, node_id TEXT NOT NULL, action TEXT NOT NULL,
        before TEXT, after TEXT, who TEXT NOT NULL, at REAL NOT NULL);
    CREATE TABLE proposals (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, parent_id TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL,
        description TEXT NOT NULL, reason TEXT NOT NULL, similar_to TEXT NOT NULL, prompts TEXT NOT NULL,
        teacher TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'open');
    CREATE TABLE votes (
        target_id TEXT NOT NULL, voter TEXT NOT NULL, keep INTEGER NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (target_id, voter)) WITHOUT ROWID;
    CREATE TABLE targets (
        discipline_id TEXT PRIMARY KEY, subject_queries INTEGER NOT NULL, max_subjects INTEGER,
        questions_per_syllabus INTEGER NOT NULL) WITHOUT ROWID;

    CREATE TABLE subject_queries (
        id TEXT PRIMARY KEY, discipline_id TEXT NOT NULL, idx INTEGER NOT NULL, list_text TEXT NOT NULL,
        subjects TEXT, settled INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX subject_queries_by_discipline ON subject_queries (discipline_id, idx);
    CREATE TABLE subjects (
        id TEXT PRIMARY KEY, discipline_id TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL,
        level TEXT NOT NULL, subtopics TEXT NOT NULL, teacher TEXT NOT NULL);
    CREATE INDEX subjects_by_discipline ON subjects (discipline_id, position);
    CREATE TABLE subject_mentions (subject_id TEXT NOT NULL, query_id TEXT NOT NULL,
        PRIMARY KEY (subject_id, query_id)) WITHOUT ROWID;
    CREATE TABLE syllabi (
        id TEXT PRIMARY KEY, subject_id TEXT NOT NULL UNIQUE, discipline_id TEXT NOT NULL, text TEXT NOT NULL,
        teacher TEXT NOT NULL, sizes TEXT, questions INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX syllabi_by_discipline ON syllabi (discipline_id);
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY, syllabus_id TEXT NOT NULL, position INTEGER NOT NULL, name TEXT NOT NULL,
        description TEXT NOT NULL);
    CREATE INDEX sessions_by_syllabus ON sessions (syllabus_id, position);
    CREATE TABLE concepts (
        id TEXT PRIMARY KEY, session_id TEXT NOT NULL, syllabus_id TEXT NOT NULL, position INTEGER NOT NULL,
        name TEXT NOT NULL);
    CREATE INDEX concepts_by_syllabus ON concepts (syllabus_id);

    CREATE TABLE questions (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, syllabus_id TEXT NOT NULL, discipline_id TEXT NOT NULL,
        strategy TEXT NOT NULL, draw_law TEXT NOT NULL, seed INTEGER NOT NULL, draw INTEGER NOT NULL,
        sessions TEXT NOT NULL, concepts TEXT NOT NULL, text TEXT NOT NULL, teacher TEXT NOT NULL,
        answered INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX questions_by_discipline ON questions (discipline_id, seq);
    CREATE INDEX questions_open ON questions (answered, seq) WHERE answered = 0;
    CREATE INDEX questions_open_by_discipline ON questions (discipline_id, seq) WHERE answered = 0;
    CREATE INDEX questions_by_syllabus ON questions (syllabus_id);
    CREATE TABLE question_concepts (concept_id TEXT NOT NULL, question_id TEXT NOT NULL,
        PRIMARY KEY (concept_id, question_id)) WITHOUT ROWID;
    CREATE TABLE answers (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, question_id TEXT NOT NULL UNIQUE,
        text TEXT NOT NULL, teacher TEXT NOT NULL);
    CREATE VIRTUAL TABLE pair_text USING fts5 (question, answer, content='', contentless_delete=1);

    CREATE TABLE calls (
        seq INTEGER PRIMARY KEY, work_id TEXT NOT NULL, run_id INTEGER, stage TEXT NOT NULL, discipline_id TEXT,
        teacher TEXT NOT NULL, prompt_version TEXT NOT NULL, prompt_sha TEXT NOT NULL, temperature REAL, top_p REAL,
        max_tokens INTEGER, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, estimated INTEGER NOT NULL,
        cost_usd REAL, latency_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, outcome TEXT NOT NULL, reply TEXT,
        at REAL NOT NULL);
    CREATE INDEX calls_by_work ON calls (work_id);
    CREATE INDEX calls_by_run ON calls (run_id);
    CREATE TABLE call_totals (
        teacher TEXT NOT NULL, stage TEXT NOT NULL, calls INTEGER NOT NULL, tokens_in INTEGER NOT NULL,
        tokens_out INTEGER NOT NULL, latency_ms INTEGER NOT NULL, PRIMARY KEY (teacher, stage)) WITHOUT ROWID;
    CREATE TABLE failures (
        work_id TEXT NOT NULL, stage TEXT NOT NULL, discipline_id TEXT, run_id INTEGER, cause TEXT NOT NULL,
        message TEXT NOT NULL, reply TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (work_id, stage)) WITHOUT ROWID;
    CREATE TABLE counters (node_id TEXT NOT NULL, measure TEXT NOT NULL, value REAL NOT NULL,
        PRIMARY KEY (node_id, measure)) WITHOUT ROWID;

    CREATE TABLE runs (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, title TEXT NOT NULL, params TEXT NOT NULL, plan TEXT,
        state TEXT NOT NULL, wish TEXT, message TEXT NOT NULL DEFAULT '', pid INTEGER, host TEXT, claim TEXT,
        created_at REAL NOT NULL, started_at REAL, heartbeat_at REAL, finished_at REAL);
    CREATE TABLE run_stages (
        run_id INTEGER NOT NULL, stage TEXT NOT NULL, planned INTEGER NOT NULL, done INTEGER NOT NULL,
        failed INTEGER NOT NULL, PRIMARY KEY (run_id, stage)) WITHOUT ROWID;
    CREATE TABLE run_samples (
        run_id INTEGER NOT NULL, at REAL NOT NULL, done INTEGER NOT NULL, requests INTEGER NOT NULL,
        throttled INTEGER NOT NULL, faults INTEGER NOT NULL, in_flight INTEGER NOT NULL, concurrency INTEGER NOT NULL,
        tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, cost_usd REAL NOT NULL,
        PRIMARY KEY (run_id, at)) WITHOUT ROWID;
    """).fetchall()


def version_2(db: apsw.Connection) -> None:
    """Add reviews, edits with history, syllabus versions, run counters and columns for pair filters.

    The discipline index covers the filter conditions, so selective filters read only the index.
    `record_events.last_question` is the newest question at the time of the event: questions of an edited syllabus up to it were
    generated from the earlier text.
    """
    db.execute("""
    ALTER TABLE questions ADD COLUMN review TEXT;
    ALTER TABLE questions ADD COLUMN reason TEXT NOT NULL DEFAULT '';
    ALTER TABLE questions ADD COLUMN starred INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE questions ADD COLUMN edited INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE questions ADD COLUMN level TEXT NOT NULL DEFAULT '';
    ALTER TABLE questions ADD COLUMN answer_length INTEGER;
    ALTER TABLE questions ADD COLUMN answer_teacher TEXT;
    UPDATE questions SET (answer_length, answer_teacher) = (
        SELECT length(text), teacher FROM answers WHERE question_id = questions.id) WHERE answered = 1;
    UPDATE questions SET level = coalesce((SELECT s.level FROM syllabi y JOIN subjects s ON s.id = y.subject_id
        WHERE y.id = questions.syllabus_id), '');
    DROP INDEX questions_by_discipline;
    CREATE INDEX questions_by_discipline ON questions (
        discipline_id, seq, strategy, answered, review, starred, edited, answer_length, level, teacher, answer_teacher);
    CREATE INDEX questions_edited ON questions (discipline_id, seq) WHERE edited = 1;

    ALTER TABLE subjects ADD COLUMN edited INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE syllabi ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE syllabi ADD COLUMN edited INTEGER NOT NULL DEFAULT 0;
    DROP INDEX syllabi_by_discipline;
    CREATE INDEX syllabi_by_discipline ON syllabi (discipline_id, subject_id, id, sizes, questions);
    ALTER TABLE sessions ADD COLUMN retired INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE concepts ADD COLUMN retired INTEGER NOT NULL DEFAULT 0;

    CREATE TABLE record_events (
        seq INTEGER PRIMARY KEY, batch TEXT NOT NULL, record_id TEXT NOT NULL, field TEXT NOT NULL,
        before TEXT, after TEXT, who TEXT NOT NULL, at REAL NOT NULL, last_question INTEGER NOT NULL);
    CREATE INDEX record_events_by_record ON record_events (record_id, seq);
    CREATE INDEX record_events_by_batch ON record_events (batch);

    CREATE TABLE run_counters (run_id INTEGER NOT NULL, moment TEXT NOT NULL, counters TEXT NOT NULL,
        PRIMARY KEY (run_id, moment)) WITHOUT ROWID;
    INSERT INTO counters SELECT discipline_id, 'last_at', max(at) FROM calls
        WHERE discipline_id IS NOT NULL GROUP BY discipline_id;
    """).fetchall()


def version_3(db: apsw.Connection) -> None:
    """Add tags, quality judgments and the reason why the dataset excludes a pair.

    A tag is a finding of a check in one pair: of a quality filter, a near-duplicate of `other`, or an overlap with a benchmark.
    `questions.dropped` is the first reason for exclusion (`tag_rows.REASONS`), NULL for included pairs; `tag_rows.update_dropped` updates
    it from reviews and tags, and the discipline index covers it because filters use it.
    """
    db.execute("""
    ALTER TABLE questions ADD COLUMN dropped TEXT;
    UPDATE questions SET dropped = 'rejected' WHERE review = 'reject' AND answered = 1;
    INSERT INTO counters SELECT discipline_id, 'dropped_rejected', count(*) FROM questions
        WHERE dropped = 'rejected' GROUP BY discipline_id;
    DROP INDEX questions_by_discipline;
    CREATE INDEX questions_by_discipline ON questions (
        discipline_id, seq, strategy, answered, review, starred, edited, answer_length, level, teacher, answer_teacher, dropped);
    CREATE INDEX questions_reviewed ON questions (seq, review) WHERE review IS NOT NULL;
    CREATE INDEX questions_dropped ON questions (seq, dropped) WHERE dropped IS NOT NULL;

    CREATE TABLE tags (
        kind TEXT NOT NULL, name TEXT NOT NULL, seq INTEGER NOT NULL, other TEXT, score REAL, detail TEXT NOT NULL,
        overruled_by TEXT, run_id INTEGER, PRIMARY KEY (kind, name, seq)) WITHOUT ROWID;
    CREATE INDEX tags_by_row ON tags (seq, kind, overruled_by);
    CREATE INDEX tags_counted ON tags (kind, name, overruled_by);

    CREATE TABLE judgements (
        seq INTEGER PRIMARY KEY, correct INTEGER NOT NULL, clear INTEGER NOT NULL, self_contained INTEGER NOT NULL,
        difficulty INTEGER NOT NULL, comment TEXT NOT NULL, teacher TEXT NOT NULL);
    """).fetchall()


def version_4(db: apsw.Connection) -> None:
    """Add the training log and the sample replies of fine-tuning runs."""
    db.execute("""
    CREATE TABLE training_steps (
        run_id INTEGER NOT NULL, step INTEGER NOT NULL, epoch REAL NOT NULL, tokens INTEGER NOT NULL, seconds REAL NOT NULL,
        loss REAL, validation_loss REAL, lr REAL, grad_norm REAL, memory_mb REAL, gpu_memory_mb REAL, gpu_use REAL,
        PRIMARY KEY (run_id, step)) WITHOUT ROWID;
    CREATE TABLE training_replies (
        run_id INTEGER NOT NULL, step INTEGER NOT NULL, nth INTEGER NOT NULL, prompt TEXT NOT NULL, reply TEXT NOT NULL,
        PRIMARY KEY (run_id, step, nth)) WITHOUT ROWID;
    """).fetchall()


def version_5(db: apsw.Connection) -> None:
    """Add chat conversations and preferences.

    A conversation is a tree of turns: editing a prompt adds a sibling, so earlier turns remain. `head` is the last turn of the
    displayed path. A turn has one reply per pane and version: regenerating adds a version, and `version` is the displayed one.
    """
    db.execute("""
    CREATE TABLE conversations (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, settings TEXT NOT NULL, head INTEGER, created_at REAL NOT NULL,
        changed_at REAL NOT NULL);
    CREATE INDEX conversations_by_change ON conversations (changed_at);
    CREATE TABLE chat_turns (
        id INTEGER PRIMARY KEY, conversation_id INTEGER NOT NULL, parent_id INTEGER, system TEXT NOT NULL, prompt TEXT NOT NULL,
        question_id TEXT, reference TEXT, blind TEXT, version INTEGER NOT NULL DEFAULT 0, at REAL NOT NULL);
    CREATE INDEX chat_turns_by_parent ON chat_turns (conversation_id, parent_id);
    CREATE TABLE chat_replies (
        turn_id INTEGER NOT NULL, version INTEGER NOT NULL, pane INTEGER NOT NULL, model TEXT NOT NULL, state TEXT NOT NULL,
        text TEXT NOT NULL DEFAULT '', message TEXT NOT NULL DEFAULT '', facts TEXT NOT NULL, written_by TEXT,
        at REAL NOT NULL, PRIMARY KEY (turn_id, version, pane)) WITHOUT ROWID;
    CREATE TABLE preferences (
        turn_id INTEGER NOT NULL, version INTEGER NOT NULL, best INTEGER, choice TEXT NOT NULL, who TEXT NOT NULL,
        at REAL NOT NULL, PRIMARY KEY (turn_id, version)) WITHOUT ROWID;
    """).fetchall()


def version_6(db: apsw.Connection) -> None:
    """Add evaluation: test answers, judge verdicts, benchmark scores and contamination probes.

    An answer belongs to the hash of a test and to a key of the model's weights and decoding parameters. A verdict belongs to one
    order of the two answers; `swapped` means that the judge saw the second model's answer first.
    """
    db.execute("""
    CREATE TABLE test_answers (
        test TEXT NOT NULL, item TEXT NOT NULL, answerer TEXT NOT NULL, text TEXT NOT NULL, teacher TEXT NOT NULL,
        run_id INTEGER, at REAL NOT NULL, PRIMARY KEY (test, answerer, item)) WITHOUT ROWID;
    CREATE TABLE matches (
        id TEXT PRIMARY KEY, test_name TEXT NOT NULL, test TEXT NOT NULL, ours TEXT NOT NULL, ours_key TEXT NOT NULL,
        other TEXT NOT NULL, other_key TEXT NOT NULL, judge TEXT NOT NULL, about TEXT NOT NULL, run_id INTEGER, at REAL NOT NULL)
        WITHOUT ROWID;
    CREATE TABLE verdicts (
        match TEXT NOT NULL, item TEXT NOT NULL, swapped INTEGER NOT NULL, ours REAL NOT NULL, other REAL NOT NULL,
        aspects TEXT NOT NULL, comment TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (match, item, swapped)) WITHOUT ROWID;
    CREATE TABLE benchmark_scores (
        id INTEGER PRIMARY KEY, model TEXT NOT NULL, weights_hash TEXT NOT NULL, benchmark TEXT NOT NULL, way TEXT NOT NULL,
        part TEXT NOT NULL DEFAULT '', score REAL NOT NULL, error REAL, number INTEGER NOT NULL, about TEXT NOT NULL,
        run_id INTEGER, at REAL NOT NULL);
    CREATE INDEX benchmark_scores_by_model ON benchmark_scores (model, benchmark, way, part);
    CREATE TABLE probes (
        id INTEGER PRIMARY KEY, model TEXT NOT NULL, weights_hash TEXT NOT NULL, name TEXT NOT NULL, loss_train REAL NOT NULL,
        loss_test REAL NOT NULL, loss_alike REAL, about TEXT NOT NULL, run_id INTEGER, at REAL NOT NULL);
    """).fetchall()


def version_7(db: apsw.Connection) -> None:
    """Add reasoning and further parameters of calls, and what a run waits for or learned about its endpoints.

    `calls.reasoning` is the trace, kept only if a run is told to. `calls.sent` is a JSON object of the parameters of the request
    besides temperature, top-p and the token limit; a parameter that is NULL was not sent.
    """
    db.execute("""
    ALTER TABLE calls ADD COLUMN tokens_reasoning INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE calls ADD COLUMN reasoning TEXT;
    ALTER TABLE calls ADD COLUMN sent TEXT;
    ALTER TABLE run_samples ADD COLUMN tokens_reasoning INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN waiting TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN notices TEXT NOT NULL DEFAULT '[]';
    """).fetchall()


def version_8(db: apsw.Connection) -> None:
    """Add tags of runs, verdicts that a person disputes, and people's blind votes on the answers of a match.

    `runs.tags` is a JSON list. A disputed question is excluded from the score of its match if the reader asks for it; the
    verdicts themselves are kept.
    """
    db.execute("""
    ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
    CREATE TABLE disputed_verdicts (
        match TEXT NOT NULL, item TEXT NOT NULL, reason TEXT NOT NULL, who TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (match, item)) WITHOUT ROWID;
    CREATE TABLE arena_votes (
        match TEXT NOT NULL, item TEXT NOT NULL, choice TEXT NOT NULL, who TEXT NOT NULL, at REAL NOT NULL,
        PRIMARY KEY (match, who, item)) WITHOUT ROWID;
    """).fetchall()


def version_9(db: apsw.Connection) -> None:
    """Add the time at which a conversation was removed, and the audit log of studios with sign-in.

    A removed conversation can be restored until it is deleted permanently.
    """
    db.execute("""
    ALTER TABLE conversations ADD COLUMN removed_at REAL;
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY, at REAL NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL, detail TEXT NOT NULL DEFAULT '');
    """).fetchall()


def version_10(db: apsw.Connection) -> None:
    """Add the endpoints of a run that has several, and the one that answered a call.

    `runs.endpoints` is a JSON list. `calls.endpoint` is NULL where a single endpoint serves the model.
    """
    db.execute("""
    ALTER TABLE runs ADD COLUMN endpoints TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE calls ADD COLUMN endpoint TEXT;
    """).fetchall()


def version_11(db: apsw.Connection) -> None:
    """Add batches of requests: files of the Batch API or of an offline engine, and the task of each request.

    `batches.step` is what this side has done, `batches.status` what the endpoint reported last. `batch_requests.outcome` is NULL until
    the reply was stored or the request was returned to the queue of the run.
    """
    db.execute("""
    CREATE TABLE batches (
        id INTEGER PRIMARY KEY, run_id INTEGER NOT NULL, teacher TEXT NOT NULL, url TEXT NOT NULL, step TEXT NOT NULL,
        requests INTEGER NOT NULL DEFAULT 0, file TEXT NOT NULL DEFAULT '', file_hash TEXT NOT NULL DEFAULT '', input_file_id TEXT, remote_id TEXT,
        status TEXT NOT NULL DEFAULT '', completed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
        output_file_id TEXT, error_file_id TEXT, message TEXT NOT NULL DEFAULT '', adaptations TEXT NOT NULL DEFAULT '{}',
        created_at REAL NOT NULL, submitted_at REAL, ended_at REAL);
    CREATE INDEX batches_by_run ON batches (run_id, id);
    CREATE TABLE batch_requests (
        batch INTEGER NOT NULL, custom_id TEXT NOT NULL, stage TEXT NOT NULL, work_id TEXT NOT NULL, discipline_id TEXT,
        prompt_version TEXT NOT NULL, prompt_sha TEXT NOT NULL, repairs INTEGER NOT NULL, failed_tries INTEGER NOT NULL,
        faults INTEGER NOT NULL, worst_usd REAL NOT NULL, outcome TEXT,
        PRIMARY KEY (batch, custom_id)) WITHOUT ROWID;
    """).fetchall()


MIGRATIONS = [
    version_1, version_2, version_3, version_4, version_5, version_6, version_7, version_8, version_9, version_10, version_11,
]  # fmt: skip
