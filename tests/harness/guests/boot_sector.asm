; The boot-sector guest: 512 bytes that greet on the first serial port and echo what they are sent.
;
; It stands in for a guest wherever a test needs many, or needs one quickly: 4 MiB, up in under a second
; without hardware virtualisation, and asleep until a byte arrives, so that idle guests cost no CPU.
;
; Control bytes:
;   ^D  power off through ACPI           ^F  print numbered lines until the next byte arrives
;   ^R  reset                            ^S  read the port no more, but keep running
;   ^P  panic, as an operating system tells it to QEMU's `pvpanic` device
; ACPI's power button (`virsh shutdown`) powers it off too, unless it floods or reads no more.
; The byte that ends a flood is then treated like any other; the numbers go on where they stopped.

        bits    16
        org     0x7c00

COM1            equ     0x3f8           ; data; +1 interrupt enable, +2 FIFO, +4 modem, +5 line status
LINE_STATUS     equ     COM1 + 5
PIC_COMMAND     equ     0x20
PIC_MASK        equ     0x21
PIC2_MASK       equ     0xa1
IRQ4_VECTOR     equ     0x0c * 4
IRQ9_VECTOR     equ     0x71 * 4        ; of ACPI
PM1A_ENABLE     equ     0x602           ; where SeaBIOS puts them on QEMU's `pc` machine
PM1A_CONTROL    equ     0x604
KEYBOARD        equ     0x64
PVPANIC         equ     0x505

start:
        cli
        cld
        jmp     0:.here
.here:
        xor     ax, ax
        mov     ds, ax
        mov     ss, ax
        mov     sp, 0x7c00

        mov     word [IRQ4_VECTOR], wake
        mov     word [IRQ4_VECTOR + 2], ax
        mov     word [IRQ9_VECTOR], power_off
        mov     word [IRQ9_VECTOR + 2], ax
        mov     al, 0xeb                ; the serial port and ACPI alone may wake us, not even the clock
        out     PIC_MASK, al
        mov     al, 0xfd
        out     PIC2_MASK, al
        mov     dx, PM1A_ENABLE
        mov     ax, 0x0100              ; PWRBTN_EN: the one ACPI event that is let through
        out     dx, ax

        mov     si, uart_settings       ; pairs of port and value
        mov     cx, 3
.setting:
        lodsw
        xchg    ax, dx
        lodsb
        out     dx, al
        loop    .setting

        mov     si, banner
        call    print

next_byte:
        call    wait_for_byte
        cmp     al, 'D' - '@'
        je      power_off
        cmp     al, 'F' - '@'
        je      flood
        cmp     al, 'P' - '@'
        je      panic
        cmp     al, 'R' - '@'
        je      reset
        cmp     al, 'S' - '@'
        je      deaf
        call    put
        jmp     next_byte

power_off:
        mov     dx, PM1A_CONTROL
        mov     ax, 0x2000              ; SLP_EN with sleep type 0: soft off
        out     dx, ax
        jmp     deaf

panic:
        mov     dx, PVPANIC
        mov     al, 0x01                ; PVPANIC_PANICKED
        out     dx, al
        jmp     deaf

reset:
        mov     al, 0xfe
        out     KEYBOARD, al
deaf:
        cli
        hlt
        jmp     deaf

flood:
        mov     si, flood_line
        call    print
        mov     di, last_digit
.carry:
        inc     byte [di]
        cmp     byte [di], '9'
        jbe     .counted
        mov     byte [di], '0'
        dec     di
        jmp     .carry
.counted:
        call    byte_waits
        jz      flood
        jmp     next_byte

; al = the next byte. Interrupts are off between the look at the port and `hlt`, so no wake-up is lost.
wait_for_byte:
        cli
        call    byte_waits
        jnz     .read
        sti
        hlt
        jmp     wait_for_byte
.read:
        mov     dx, COM1
        in      al, dx
        ret

; Zero flag clear if a byte waits.
byte_waits:
        mov     dx, LINE_STATUS
        in      al, dx
        test    al, 0x01
        ret

; Prints the zero-terminated string at si.
print:
        lodsb
        test    al, al
        jz      .done
        call    put
        jmp     print
.done:
        ret

; Prints al, once the port has room for it.
put:
        push    ax
        mov     dx, LINE_STATUS
.full:
        in      al, dx
        test    al, 0x20
        jz      .full
        pop     ax
        mov     dx, COM1
        out     dx, al
        ret

; The interrupt's whole work is to end a `hlt`.
wake:
        push    ax
        mov     al, 0x20
        out     PIC_COMMAND, al
        pop     ax
        iret

uart_settings:
        dw      COM1 + 2
        db      0x07                    ; FIFOs on and empty
        dw      COM1 + 4
        db      0x0b                    ; OUT2 lets the interrupt through
        dw      COM1 + 1
        db      0x01                    ; interrupt when a byte arrives

banner:         db      'virtmux boot-sector guest ready', 13, 10, 0
flood_line:     db      'line 00000001', 13, 10, 0
last_digit      equ     flood_line + 12

        times   510 - ($ - $$) db 0
        dw      0xaa55
