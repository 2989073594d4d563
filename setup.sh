#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Makes this machine ready: the Debian packages that are missing, and .venv with towline and its tools in it.
# Debian 12, Ubuntu 24.04 and newer; as root, or through sudo where it is there and something is missing.
# `setup.sh acceptance` installs, too, what towline is compared with (rsync, scp's server, a QUIC) and Chromium.
set -eu

case ${1:-} in
'') extras=dev ;;
acceptance) extras=dev,yardsticks ;;
*)
	echo "setup: $1 is not known; it takes nothing, or: acceptance" >&2
	exit 2
	;;
esac

cd "$(dirname "$0")"
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" # where Debian keeps ip, ethtool and ldconfig from users

die() {
	echo "setup: $*" >&2
	exit 1
}

have() {
	command -v "$1" >/dev/null 2>&1
}

python_new_enough() {
	have "$1" && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
	for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
		if python_new_enough "$candidate"; then
			echo "$candidate"
			return
		fi
	done
}

have_clang() {
	for candidate in ${TOWLINE_CLANG:-} clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14; do
		if have "$candidate"; then
			return 0
		fi
	done
	return 1
}

# What is missing is asked for by what we use of it, not by the package's name: a clang from elsewhere is a clang.
missing_packages() {
	have_clang || echo clang
	ldconfig -p | grep -q 'libbpf\.so\.1 ' || echo libbpf1
	[ -e /usr/include/bpf/bpf_helpers.h ] || echo libbpf-dev
	[ -e /usr/include/linux/bpf.h ] || echo linux-libc-dev
	have ip || echo iproute2
	have ethtool || echo ethtool
	have iperf3 || echo iperf3
	have setpriv || echo util-linux
	python=$(find_python)
	if [ -z "$python" ]; then
		echo python3 python3-venv
	elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
		echo python3-venv
	fi
}

missing_for_acceptance() {
	have rsync || echo rsync
	have scp || echo openssh-client
	have sshd || echo openssh-server
	# Ubuntu has it as a snap only.
	if ! have chromium && ! have google-chrome && grep -q '^ID=debian' /etc/os-release; then
		echo chromium
	fi
}

# scp is measured with a server of the laboratory's own: the one that the package brings must not start, ever.
forbid_starts() {
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap '$as_root rm -f $policy' EXIT
		trap 'exit 1' INT TERM
		printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
		$as_root chmod 755 $policy
	fi
}

install_packages() {
	if [ "$(id -u)" -eq 0 ]; then
		as_root=
	elif have sudo; then
		as_root=sudo
	else
		die "these packages are missing: $*; install them as root: apt-get install $*"
	fi
	have apt-get || die "these are missing, and there is no apt-get to install them: $*"
	echo "setup: installing $*"
	# A list of packages that was never fetched, or is old, names what is no longer there.
	$as_root apt-get -q update
	case " $* " in *' openssh-server '*) forbid_starts ;; esac
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"
	case " $* " in
	*' openssh-server '*)
		if have systemctl; then
			$as_root systemctl disable --quiet ssh.service ssh.socket 2>/dev/null || true
		fi
		echo "setup: the ssh server is installed, and neither runs nor starts with the machine"
		;;
	esac
}

packages=$(missing_packages | tr '\n' ' ')
if [ $extras != dev ]; then
	packages="$packages $(missing_for_acceptance | tr '\n' ' ')"
fi
case $packages in
*[a-z]*)
	# shellcheck disable=SC2086 # a list of words
	install_packages $packages
	;;
esac

python=$(find_python)
[ -n "$python" ] || die "Python 3.11 or newer is needed; PYTHON=... names one"
if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
	"$python" -m venv --clear .venv
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$extras]"
# What runs as root writes no byte code into the tree: without this each start would compile each module again.
.venv/bin/python -m compileall -q src
echo "setup: ready; .venv/bin/towline is the program"
