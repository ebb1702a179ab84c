/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lua. All checks come before the first write, because a script that fails half way is not rolled
 * back: then the only failure left is the server running out of memory, which it decides before the
 * first write as well.
 *
 * A conflict is: the key has a version, another than the expected one, and the caller expects one
 * or an earlier save was first-write. A value of another type is replaced, as the reference does.
 * The fields of a new hash are written in the reference's order, so that dumps compare equal.
 */
#include "scripts.h"

const struct script script_set = {
    .text = "local expected, data, first, expiry = ARGV[1], ARGV[2], ARGV[3], ARGV[4]\n"
            "local old = redis.pcall('HMGET', KEYS[1], 'version', 'first-write')\n"
            "if old.err then\n"
            "  redis.call('DEL', KEYS[1])\n"
            "  old = {false, false}\n"
            "end\n"
            "local version = old[1] ~= '' and old[1]\n"
            "if version and version ~= expected and (old[2] or expected ~= '0') then return 1 end\n"
            "if version then\n"
            "  local counted = redis.pcall('HINCRBY', KEYS[1], 'version', 1)\n"
            "  if type(counted) == 'table' then return 2 end\n"
            "  redis.call('HSET', KEYS[1], 'data', data)\n"
            "  if first == '0' then redis.call('HSET', KEYS[1], 'first-write', 0) end\n"
            "else\n"
            "  redis.call('HSET', KEYS[1], 'data', data)\n"
            "  if first == '0' then redis.call('HSET', KEYS[1], 'first-write', 0) end\n"
            "  redis.call('HSET', KEYS[1], 'version', 1)\n"
            "end\n"
            "if expiry == 'clear' then\n"
            "  redis.call('PERSIST', KEYS[1])\n"
            "elseif expiry ~= 'keep' then\n"
            "  redis.call('EXPIRE', KEYS[1], expiry)\n"
            "end\n"
            "return 0\n",
    .sha = "101c441ee6be207f245d9e745b50dac5c83fd060",
};

const struct script script_del = {
    .text = "local version = redis.pcall('HGET', KEYS[1], 'version')\n"
            "if type(version) == 'string' and version ~= '' and\n"
            "   version ~= ARGV[1] and ARGV[1] ~= '0' then\n"
            "  return 1\n"
            "end\n"
            "redis.call('DEL', KEYS[1])\n"
            "return 0\n",
    .sha = "84063173bee3d2b1ea9742511578f75cf29569cf",
};

const struct script script_transact = {
    .text =
        "local known = {}\n"
        "local function look(key)\n"
        "  local state = known[key]\n"
        "  if not state then\n"
        "    local old = redis.pcall('HMGET', key, 'version', 'first-write')\n"
        "    state = old.err and {} or {version = old[1] ~= '' and old[1], first = old[2]}\n"
        "    known[key] = state\n"
        "  end\n"
        "  return state\n"
        "end\n"
        "for i, key in ipairs(KEYS) do\n"
        "  local at = (i - 1) * 5\n"
        "  local state, expected = look(key), ARGV[at + 2]\n"
        "  local version = state.version\n"
        "  if ARGV[at + 1] == 'del' then\n"
        "    if version and version ~= expected and expected ~= '0' then return i end\n"
        "    known[key] = {}\n"
        "  else\n"
        "    local guarded = state.first or expected ~= '0'\n"
        "    if version and version ~= expected and guarded then return i end\n"
        "    if version and not (version:match('^%-?%d+$') and #version < 16) then return -i end\n"
        "    state.version = string.format('%.0f', version and tonumber(version) + 1 or 1)\n"
        "    state.first = state.first or ARGV[at + 4] == '0'\n"
        "  end\n"
        "end\n"
        "if ARGV[#KEYS * 5 + 1] then return 0 end\n"
        "for i, key in ipairs(KEYS) do\n"
        "  local at = (i - 1) * 5\n"
        "  if ARGV[at + 1] == 'del' then\n"
        "    redis.call('DEL', key)\n"
        "  else\n"
        "    local data, first, expiry = ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]\n"
        "    local old = redis.pcall('HGET', key, 'version')\n"
        "    if type(old) == 'table' then redis.call('DEL', key) end\n"
        "    if old == '' then redis.call('HDEL', key, 'version') end\n"
        "    redis.call('HSET', key, 'data', data)\n"
        "    if first == '0' then redis.call('HSET', key, 'first-write', 0) end\n"
        "    redis.call('HINCRBY', key, 'version', 1)\n"
        "    if expiry == 'clear' then\n"
        "      redis.call('PERSIST', key)\n"
        "    elseif expiry ~= 'keep' then\n"
        "      redis.call('EXPIRE', key, expiry)\n"
        "    end\n"
        "  end\n"
        "end\n"
        "return 0\n",
    .sha = "764ff0c8854081944181b21cabefcb0c339d0cd9",
};

const struct script script_documents = {
    .text =
        "local known = {}\n"
        "local function text(value)\n"
        "  return type(value) == 'string' and value ~= '' and value\n"
        "end\n"
        "local function look(key)\n"
        "  local state = known[key]\n"
        "  if not state then\n"
        "    local old = redis.pcall('HMGET', key, 'version', 'first-write')\n"
        "    if old.err then\n"
        "      old = {redis.pcall('JSON.GET', key, '.version'),\n"
        "             redis.pcall('JSON.GET', key, '.first-write')}\n"
        "    end\n"
        "    state = {version = text(old[1]), first = text(old[2])}\n"
        "    known[key] = state\n"
        "  end\n"
        "  return state\n"
        "end\n"
        "for i, key in ipairs(KEYS) do\n"
        "  local at = (i - 1) * 5\n"
        "  local kind, expected, state = ARGV[at + 1], ARGV[at + 2], look(key)\n"
        "  local version = state.version\n"
        "  if kind == 'del' then\n"
        "    if version and version ~= expected and expected ~= '0' then return i end\n"
        "    known[key] = {}\n"
        "  else\n"
        "    local guarded = state.first or expected ~= '0'\n"
        "    if version and version ~= expected and guarded then return i end\n"
        "    if version and not (version:match('^%-?%d+$') and #version < 16) then return -i end\n"
        "    if kind == 'doc' and not pcall(cjson.decode, ARGV[at + 3]) then\n"
        "      return redis.error_reply('ERR the value is no JSON')\n"
        "    end\n"
        "    state.version = string.format('%.0f', version and tonumber(version) + 1 or 1)\n"
        "    state.first = state.first or ARGV[at + 4] == '0'\n"
        "  end\n"
        "end\n"
        "if ARGV[#KEYS * 5 + 1] then return 0 end\n"
        "known = {}\n"
        "for i, key in ipairs(KEYS) do\n"
        "  local at = (i - 1) * 5\n"
        "  local kind, data, expiry = ARGV[at + 1], ARGV[at + 3], ARGV[at + 5]\n"
        "  if kind == 'del' then\n"
        "    redis.call('DEL', key)\n"
        "    known[key] = {}\n"
        "  else\n"
        "    local state = look(key)\n"
        "    local first = state.first or ARGV[at + 4] == '0'\n"
        "    local version = string.format('%.0f', state.version and tonumber(state.version) + 1 "
        "or 1)\n"
        "    local is_hash = type(redis.pcall('HLEN', key)) == 'number'\n"
        "    if kind == 'doc' then\n"
        "      if type(redis.pcall('JSON.GET', key)) == 'table' then redis.call('DEL', key) end\n"
        "      redis.call('JSON.SET', key, '$', '{\"data\":' .. data ..\n"
        "        (first and ',\"first-write\":0' or '') .. ',\"version\":' .. version .. '}')\n"
        "    else\n"
        "      if not is_hash then redis.call('DEL', key) end\n"
        "      redis.call('HSET', key, 'data', data)\n"
        "      if first then redis.call('HSET', key, 'first-write', 0) end\n"
        "      redis.call('HSET', key, 'version', version)\n"
        "    end\n"
        "    known[key] = {version = version, first = first}\n"
        "    if expiry == 'clear' then\n"
        "      redis.call('PERSIST', key)\n"
        "    elseif expiry ~= 'keep' then\n"
        "      redis.call('EXPIRE', key, expiry)\n"
        "    end\n"
        "  end\n"
        "end\n"
        "return 0\n",
    .sha = "5cde1bb11efb7b2831d3f7df2821587e6680c80a",
};

const struct script script_read = {
    .text = "local hash = redis.pcall('HMGET', KEYS[1], 'data', 'version')\n"
            "if not hash.err then return hash end\n"
            "local data = redis.pcall('JSON.GET', KEYS[1], '.data')\n"
            "if type(data) == 'string' then\n"
            "  local version = redis.pcall('JSON.GET', KEYS[1], '.version')\n"
            "  return {data, type(version) == 'string' and version}\n"
            "end\n"
            "return redis.call('GET', KEYS[1])\n",
    .sha = "05922e76dc9fd7b739f775bb0e0a1436f320a9ae",
};
