#!/bin/sh
# Make or refresh .venv. Usage: sh scripts/setup.sh [-q] run|dev
#   run  what running needs
#   dev  that, and what tests and checks need
#   -q   say nothing where nothing is to be done, nor what to do next
# PYTHON names the interpreter to use (3.11 to 3.14). Nothing to do takes some
# milliseconds: a stamp in .venv holds checksums of the files it was made from.
set -u

MIN=11
MAX=14
LOCK=.setup.lock
STAMP=.venv/tenure-setup
LOG=.venv/setup.log

say() { printf '%s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 2; }

quiet=
if [ "${1:-}" = -q ]; then quiet=1; shift; fi
what=${1:-}
case $what in
    run | dev) ;;
    *) die "usage: sh scripts/setup.sh [-q] run|dev" ;;
esac
cd "$(dirname "$0")/.." || exit 2
unset PYTHONHOME PYTHONPATH
here=$(pwd -P)

key_of() { # run|dev
    case $1 in
        run) cat requirements/run.txt pyproject.toml ;;
        dev) cat requirements/run.txt requirements/dev.txt pyproject.toml ;;
    esac | cksum
}

stamped() { # run|dev: whether .venv was made from the files as they are
    [ -f "$STAMP" ] && [ -x .venv/bin/python ] && grep -qxF "$1 $(key_of "$1")" "$STAMP"
}

in_place() { # a moved checkout has scripts that name the old place
    [ -f "$STAMP" ] && grep -qxF "path $here" "$STAMP"
}

ready() { in_place && { stamped "$what" || { [ "$what" = run ] && stamped dev; }; }; }

finish() {
    [ -n "$quiet" ] && return
    case $what in
        run) say "Ready. Next: .venv/bin/tenure demo" ;;
        dev) say "Ready. Next: .venv/bin/pytest -n 2" ;;
    esac
}

if ready; then finish; exit 0; fi

fits() { # a Python of ours?
    "$1" -c "import sys; sys.exit(not (3, $MIN) <= sys.version_info[:2] <= (3, $MAX))" \
        >/dev/null 2>&1
}
has_ensurepip() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }
has_pip() { # one that can install into another environment, which pip 22.3 began
    "$1" -c 'import pip, venv, sys
sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (22, 3))' >/dev/null 2>&1
}

find_python() { # sets python; prefers one that can make a whole environment
    python=
    without=
    for name in ${PYTHON:+"$PYTHON"} python3.14 python3.13 python3.12 python3.11 python3 python; do
        if fits "$name"; then
            if has_ensurepip "$name"; then python=$name; return; fi
            if [ -z "$without" ] || { has_pip "$name" && ! has_pip "$without"; }; then
                without=$name
            fi
        fi
        if [ -n "${PYTHON:-}" ]; then break; fi
    done
    if [ -z "$without" ]; then
        if [ -n "${PYTHON:-}" ]; then
            die "PYTHON=$PYTHON is no Python 3.$MIN to 3.$MAX that runs"
        fi
        die "no Python 3.$MIN to 3.$MAX found: install one, or name it with PYTHON=/path/to/python3"
    fi
    if ! has_pip "$without"; then
        die "$without has no ensurepip: apt-get install python3-venv (Debian, Ubuntu), or name another with PYTHON="
    fi
    python=$without
}

alive() { kill -0 "$1" 2>/dev/null || ps -p "$1" >/dev/null 2>&1; }

stale() { # is the lock's holder gone?
    holder=$(cat "$LOCK/pid" 2>/dev/null)
    if [ -n "$holder" ]; then
        ! alive "$holder"
    else
        [ -n "$(find "$LOCK" -prune -mmin +1 2>/dev/null)" ] # killed before it wrote its pid
    fi
}

take_lock() {
    waited=
    until mkdir "$LOCK" 2>/dev/null; do
        [ -d "$LOCK" ] || [ -w . ] || die "cannot write in $here"
        if stale; then
            # Only one of several can rename it away, so nobody removes a fresh lock.
            mv "$LOCK" "$LOCK.$$" 2>/dev/null && rm -rf "$LOCK.$$"
            continue
        fi
        if [ -z "$waited" ]; then say "Waiting for another setup of this checkout"; waited=1; fi
        sleep 0.2 2>/dev/null || sleep 1
    done
    trap 'rm -rf "$LOCK"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    echo "$$" >"$LOCK/pid"
}

run_logged() {
    "$@" >>"$LOG" 2>&1 </dev/null && return
    status=$?
    printf '\n' >&2
    tail -n 20 "$LOG" >&2
    if [ -s "$LOG" ]; then die "that failed (exit $status); all of it is in $LOG"; fi
    die "that failed (exit $status): $*"
}

make_venv() {
    if [ -e .venv ]; then
        [ -f .venv/pyvenv.cfg ] || die ".venv exists and is no virtual environment: move it away"
        rm -rf .venv || die "cannot remove the old .venv"
    fi
    mkdir -p .venv || die "cannot write in $here"
    if has_ensurepip "$python"; then
        run_logged "$python" -m venv .venv
    else
        run_logged "$python" -m venv --without-pip .venv
    fi
}

pip() {
    if .venv/bin/python -c 'import pip' 2>/dev/null; then
        run_logged .venv/bin/python -m pip --disable-pip-version-check --no-input "$@"
    else
        run_logged "$python" -m pip --python .venv/bin/python --disable-pip-version-check --no-input "$@"
    fi
}

usable() { # can the environment at hand be completed?
    [ -f .venv/pyvenv.cfg ] && fits .venv/bin/python && { [ ! -f "$STAMP" ] || in_place; } &&
        { .venv/bin/python -c 'import pip' 2>/dev/null || { find_python && ! has_ensurepip "$python"; }; }
}

take_lock
if ready; then finish; exit 0; fi # the one we waited for did it

if ! usable; then
    find_python
    printf 'Setting up .venv with %s ..' "$("$python" -V 2>&1)"
    make_venv
else
    printf 'Bringing .venv up to date ..'
fi
: >"$LOG"
say "path $here" >"$STAMP" || die "cannot write $STAMP" # until it is whole again, it is not ready
pip install --require-hashes -r "requirements/$what.txt"
printf ' packages ..'
pip install --no-deps --no-build-isolation -e .
{
    say "path $here"
    say "$what $(key_of "$what")"
    if [ "$what" = dev ]; then say "run $(key_of run)"; fi
} >"$STAMP.new" && mv "$STAMP.new" "$STAMP" || die "cannot write $STAMP"
say ' done'
finish
