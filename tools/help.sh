# Prints the comment at the head of a script for -h and --help, and ends it.
#
# To be sourced without arguments: it reads those of the script.
case ${1:-} in
  -h | --help)
    sed -n '2,${/^#SBATCH/d; /^#/!q; s/^# \{0,1\}//p;}' "$0"
    exit 0
    ;;
esac
