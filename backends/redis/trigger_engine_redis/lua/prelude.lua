-- The first part of every script. A script checks everything before its first write: Redis does not roll back.
--
-- meta: log_id, tail (newest position), last (its entry's id), trimmed (newest position that was removed), stirred
--     (counts queue changes that concern waiting runners), touched
-- entries: stream, one entry a message, id `<position>-0`, field `e`
-- ids: entry id -> position; used: ids of keyed entries that were trimmed, by the time of their use
-- terms: lease name -> position of its newest election
-- invocations: id -> row; ready, delayed, held: the members of invocations that wait, wait until due, are held
-- kept: bytes of trimmed entries that are still needed, `r:` registrations and `l:` newest status entries
-- bell: stream of one message, which wakes waiters
local META, ENTRIES, IDS, USED, TERMS, INVOCATIONS, READY, DELAYED, HELD, KEPT, BELL, LEASES, RUNNERS, CHECKPOINTS =
    unpack(KEYS)
local call, pack, unpack_value = redis.call, cmsgpack.pack, cmsgpack.unpack

-- The fields of a row, which is an array.
local REGISTERED_AT, QUEUE, TASK, SLICE_FROM, SLICE_SIZE, STATUS, ATTEMPT, CLAIM, RUNNER, RECOVERIES, NOT_BEFORE,
    CHANGED_AT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12

local function decimal(position)
    return string.format('%d', position)
end

local function server_time()
    local time = call('TIME')
    return tonumber(time[1]) + tonumber(time[2]) / 1000000
end

-- A unique position for an election: no other entry has it, not even one that a failover has lost, so two leaders never
-- have the same term.
local function election_position()
    local time = call('TIME')
    return tonumber(time[1]) * 1048576 + tonumber(time[2])
end

-- Loads the state of the log; creates the log if there is none, with the id that every call passes.
local function load_log()
    local found = call('HMGET', META, 'log_id', 'tail', 'trimmed', 'stirred')
    if not found[1] then
        call('HSET', META, 'log_id', ARGV[1], 'tail', '0', 'last', '', 'trimmed', '0', 'stirred', '0')
        found = {ARGV[1], '0', '0', '0'}
    end
    return {id = found[1], tail = tonumber(found[2]), trimmed = tonumber(found[3]), queue_changes = tonumber(found[4])}
end

local function notify(log)
    call('XADD', BELL, 'MAXLEN', '1', '*', 't', decimal(log.tail), 's', decimal(log.queue_changes))
end

-- Calls a command that takes any number of arguments, a limited number at a time.
local function in_chunks(command, key, arguments)
    for first = 1, #arguments, 1000 do
        call(command, key, unpack(arguments, first, math.min(first + 999, #arguments)))
    end
end

-- The values of hash fields, by field.
local function load_fields(key, fields)
    local found = {}
    for first = 1, #fields, 1000 do
        local last = math.min(first + 999, #fields)
        local values = call('HMGET', key, unpack(fields, first, last))
        for index = first, last do
            found[fields[index]] = values[index - first + 1]
        end
    end
    return found
end

local function load_row(invocation_id)
    local packed = call('HGET', INVOCATIONS, invocation_id)
    return packed and unpack_value(packed)
end

-- Members sort by queue and task, then by age, oldest first.
local function waiting_member(row, invocation_id)
    return row[QUEUE] .. '\0' .. row[TASK] .. '\0' .. string.format('%014x', row[REGISTERED_AT]) .. '\0' .. invocation_id
end

local function held_member(row, invocation_id)
    return (row[RUNNER] or '') .. '\0' .. string.format('%014x', row[REGISTERED_AT]) .. '\0' .. row[CLAIM] .. '\0'
        .. invocation_id
end

-- The changes that `write_rows` will make: members and fields to remove; members to add, each after its score;
-- fields to set, each before its value.
local ready_gone, delayed_gone, held_gone, kept_gone = {}, {}, {}, {}
local ready_new, delayed_new, held_new, rows_new = {}, {}, {}, {}

-- Plans to remove a row from the indexes; call it before the row changes, once in a script.
local function leave(log, invocation_id, row)
    local status = row[STATUS]
    if WAITING[status] then
        local member = waiting_member(row, invocation_id)
        ready_gone[#ready_gone + 1] = member
        if row[NOT_BEFORE] then
            delayed_gone[#delayed_gone + 1] = member
        end
    elseif HOLDING[status] then
        held_gone[#held_gone + 1] = held_member(row, invocation_id)
    end
    if row[CHANGED_AT] <= log.trimmed then
        kept_gone[#kept_gone + 1] = 'l:' .. invocation_id
    end
end

-- Plans to write a changed row, and to add it to the index of its state; returns its bytes.
local function enter(invocation_id, row, now)
    local status = row[STATUS]
    if WAITING[status] then
        if row[NOT_BEFORE] and row[NOT_BEFORE] > now then
            delayed_new[#delayed_new + 1] = string.format('%.17g', row[NOT_BEFORE])
            delayed_new[#delayed_new + 1] = waiting_member(row, invocation_id)
        else
            ready_new[#ready_new + 1] = '0'
            ready_new[#ready_new + 1] = waiting_member(row, invocation_id)
        end
    elseif HOLDING[status] then
        held_new[#held_new + 1] = '0'
        held_new[#held_new + 1] = held_member(row, invocation_id)
    end
    local packed = pack(row)
    rows_new[#rows_new + 1] = invocation_id
    rows_new[#rows_new + 1] = packed
    return packed
end

-- Makes the planned changes: a few large commands are much faster than many small ones.
local function write_rows()
    in_chunks('ZREM', READY, ready_gone)
    in_chunks('ZREM', DELAYED, delayed_gone)
    in_chunks('ZREM', HELD, held_gone)
    in_chunks('ZADD', READY, ready_new)
    in_chunks('ZADD', DELAYED, delayed_new)
    in_chunks('ZADD', HELD, held_new)
    in_chunks('HDEL', KEPT, kept_gone)
    in_chunks('HSET', INVOCATIONS, rows_new)
end

local function entry_at(position)
    local id = decimal(position) .. '-0'
    local found = call('XRANGE', ENTRIES, id, id)[1]
    return found and found[2][2]
end

local function registration_of(log, invocation_id, row)
    if row[REGISTERED_AT] <= log.trimmed then
        return call('HGET', KEPT, 'r:' .. invocation_id)
    end
    return entry_at(row[REGISTERED_AT])
end

-- An invocation for a client: its row, its registration, and its newest status entry if there is one.
local function describe(log, invocation_id, row)
    local registration = registration_of(log, invocation_id, row)
    local latest = false
    if row[CHANGED_AT] ~= row[REGISTERED_AT] then
        latest = row[CHANGED_AT] <= log.trimmed and call('HGET', KEPT, 'l:' .. invocation_id) or entry_at(row[CHANGED_AT])
    end
    return {pack(row), registration, latest}
end

-- The reason why a cursor is not a place in this log, nil when it is one.
local function cursor_error(log, log_id, position, entry_id)
    if log_id ~= log.id or position > log.tail then
        return 'replaced'
    elseif position < log.trimmed then
        return 'trimmed'
    elseif entry_id ~= '' and position > log.trimmed and tonumber(call('HGET', IDS, entry_id) or 0) ~= position then
        return 'replaced'
    end
    return nil
end

local function is_current(term)
    for _, position in ipairs(call('HVALS', TERMS)) do
        if tonumber(position) == term then
            return true
        end
    end
    return false
end
