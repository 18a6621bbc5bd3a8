-- Appends parts. ARGV: log id, description of the parts, limit of entries (0: none), touch (1: always write), bytes of
-- each entry. The description is one flat array, which is faster than nested ones: for each part the number of its
-- entries, then for each entry
-- FREE, id; TERMED, id, term, position it evaluates up to or false; ELECTED, id, name;
-- REGISTRATION, id, invocation, task, queue, not before, slice from, slice size, term or false;
-- MOVE, id, invocation, kind, attempt, claim, runner, not before.
local FREE, TERMED, ELECTED, REGISTRATION, MOVE = 0, 1, 2, 3, 4
local SIZES = {[FREE] = 2, [TERMED] = 4, [ELECTED] = 3, [REGISTRATION] = 9, [MOVE] = 8}
local DATA = 4

local log = load_log()
local described = unpack_value(ARGV[2])
local size = #described
local cap = tonumber(ARGV[3])

local entry_ids, invocation_ids, adds_work = {}, {}, false
local at = 1
while at <= size do
    local count = described[at]
    at = at + 1
    for _ = 1, count do
        local kind = described[at]
        entry_ids[#entry_ids + 1] = described[at + 1]
        if kind == REGISTRATION or kind == MOVE then
            invocation_ids[#invocation_ids + 1] = described[at + 2]
        end
        adds_work = adds_work or kind == FREE or (kind == REGISTRATION and not described[at + 8])
        at = at + SIZES[kind]
    end
end
if cap > 0 and adds_work and call('XLEN', ENTRIES) + #entry_ids > cap then
    return redis.error_reply('-LOGFULL ' .. decimal(call('XLEN', ENTRIES)))
end

local ids = load_fields(IDS, entry_ids)
local rows = load_fields(INVOCATIONS, invocation_ids)
for id, packed in pairs(rows) do
    rows[id] = packed and unpack_value(packed)
end
local detached = {}
local terms, current
local elected = {}
-- Accepted entries: `accepted` has their ids and positions as one array, `numbers` their index in ARGV.
local accepted, numbers = {}, {}
local tail = log.tail
local number = 0

local function load_terms()
    if not terms then
        terms = {}
        local found = call('HGETALL', TERMS)
        for index = 1, #found, 2 do
            terms[found[index]] = tonumber(found[index + 1])
        end
    end
    if not current then
        current = {}
        for _, position in pairs(terms) do
            current[position] = true
        end
    end
end

-- Below, `at` is the index of an entry in `described`.
local function known_position(at)
    local position = ids[described[at + 1]]
    if position then
        return tonumber(position)
    elseif described[at] == REGISTRATION and rows[described[at + 2]] then
        return rows[described[at + 2]][REGISTERED_AT]
    end
    return nil
end

-- The reason why the entry is void by its term, or by the position it evaluates up to; nil when it is not.
local function term_error(at)
    local kind = described[at]
    local term = (kind == TERMED and described[at + 2]) or (kind == REGISTRATION and described[at + 8])
    if not term then
        return nil
    end
    load_terms()
    local upto = kind == TERMED and described[at + 3]
    if not current[term] then
        return 'the leader of term ' .. decimal(term) .. ' was replaced'
    elseif upto and upto > tail then
        return 'it evaluates entries up to ' .. decimal(upto) .. ', but the log ends at ' .. decimal(tail)
            .. ': it was made for another state of the log'
    end
    return nil
end

-- Takes a row out of the indexes before its first change.
local function detach(invocation_id, row)
    if not detached[invocation_id] then
        detached[invocation_id] = true
        detached[#detached + 1] = invocation_id
        if row then
            leave(log, invocation_id, row)
        end
    end
end

-- Moves a row, or returns the reason why the entry is void.
local function move(at, position)
    local invocation_id = described[at + 2]
    local row = rows[invocation_id]
    if not row then
        return 'no invocation ' .. invocation_id .. ' is registered'
    end
    local kind, attempt, claim = described[at + 3], described[at + 4], described[at + 5]
    local before = row[STATUS]
    local status = MOVES[before] and MOVES[before][kind]
    if not status then
        return 'no move from ' .. before .. ' by ' .. kind
    end
    if kind ~= 'cancelled' then
        local expected = before == 'retry' and row[ATTEMPT] + 1 or row[ATTEMPT]
        if not WAITING[before] and claim ~= row[CLAIM] then
            return 'another claim holds it'
        elseif attempt ~= expected then
            return 'attempt ' .. attempt .. ', expected ' .. expected
        end
    end
    detach(invocation_id, row)
    row[STATUS], row[CHANGED_AT] = status, position
    if kind == 'cancelled' then
        return nil
    elseif WAITING[before] then
        row[ATTEMPT], row[CLAIM], row[RUNNER] = attempt, claim, described[at + 6]
    elseif WAITING[status] then
        row[CLAIM], row[RUNNER] = '', false
        if kind == 'recovered' then
            row[RECOVERIES] = row[RECOVERIES] + 1
        elseif kind == 'retried' then
            row[NOT_BEFORE] = described[at + 7]
        end
    end
    return nil
end

local function register(at, position)
    local invocation_id = described[at + 2]
    detach(invocation_id, rows[invocation_id])
    rows[invocation_id] = {
        position, described[at + 4], described[at + 3], described[at + 6], described[at + 7], 'registered', 1, '',
        false, 0, described[at + 5], position,
    }
end

-- The existing or new position of an entry; nil and the reason when it is void.
local function accept_entry(at, index)
    local position = known_position(at)
    if position then
        return position
    end
    local reason = term_error(at)
    if reason then
        return nil, reason
    end
    position = tail + 1
    local kind, id = described[at], described[at + 1]
    if kind == MOVE then
        reason = move(at, position)
        if reason then
            return nil, reason
        end
    elseif kind == REGISTRATION then
        register(at, position)
    elseif kind == ELECTED then
        position = math.max(position, election_position())
        load_terms()
        terms[described[at + 2]], elected[described[at + 2]], current = position, position, nil
    end
    tail = position
    ids[id] = position
    numbers[#numbers + 1] = index
    accepted[#accepted + 1] = id
    accepted[#accepted + 1] = decimal(position)
    return position
end

local function accept_part(at, count)
    local index = number
    number = number + count
    if count == 1 then
        return accept_entry(at, index + 1)
    end
    local next_at = at
    for _ = 1, count do
        local reason = not known_position(next_at) and term_error(next_at)
        if reason then
            return nil, reason
        end
        next_at = next_at + SIZES[described[next_at]]
    end
    local first = math.huge
    for offset = 1, count do
        first = math.min(first, accept_entry(at, index + offset))
        at = at + SIZES[described[at]]
    end
    return first
end

local outcomes = {}
at = 1
while at <= size do
    local count = described[at]
    local position, reason = accept_part(at + 1, count)
    outcomes[#outcomes + 1] = position or reason
    at = at + 1
    for _ = 1, count do
        at = at + SIZES[described[at]]
    end
end

if #numbers > 0 then
    for index, each in ipairs(numbers) do
        call('XADD', ENTRIES, accepted[2 * index], 'e', ARGV[DATA + each])
    end
    in_chunks('HSET', IDS, accepted)
    for name, position in pairs(elected) do
        call('HSET', TERMS, name, decimal(position))
    end
    local now = #detached > 0 and server_time() or 0
    -- Waiting runners must look when work was added or a claim was revoked.
    local wakes_workers = false
    for _, invocation_id in ipairs(detached) do
        local row = rows[invocation_id]
        wakes_workers = wakes_workers or WAITING[row[STATUS]] or row[STATUS] == 'cancelled'
        enter(invocation_id, row, now)
    end
    write_rows()
    log.tail = tail
    log.queue_changes = log.queue_changes + (wakes_workers and 1 or 0)
    call('HSET', META, 'tail', decimal(tail), 'last', accepted[#accepted - 1], 'stirred', decimal(log.queue_changes))
    notify(log)
end
if ARGV[4] == '1' then
    call('HINCRBY', META, 'touched', '1')
end
return {log.id, log.tail, log.queue_changes, outcomes}
